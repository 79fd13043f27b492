//! The form with user name and password, as a browser without a script meets it.

use axum::body::Body;
use http::{Request, StatusCode, header};

use crate::web::fixture::{Answer, PASSWORD, Site};

const HERE: &str = "http://node1:8787";

fn cookie(answer: &Answer) -> &str {
    answer.header("set-cookie").split(';').next().unwrap()
}

#[tokio::test]
async fn a_right_password_signs_in_and_leads_where_one_wanted_to_go() {
    let site = Site::open().await;
    let form = format!("user=+alice+&password={PASSWORD}&next=%2Fs%2F7k3n9v2q%2Flab%3Fa%3Db");
    let answer = site.submit("/sign-in", "", HERE, &form).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/s/7k3n9v2q/lab?a=b"));
    let home = site.visit("/", cookie(&answer)).await;
    assert!(home.status == StatusCode::OK && home.text.contains("alice"), "{home:?}");
}

#[tokio::test]
async fn the_page_has_a_form_that_remembers_where_one_wanted_to_go() {
    let site = Site::open().await;
    let page = site.visit("/sign-in?next=/s/7k3n9v2q/lab%3Fa%3D%22b", "").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "<label for=\"user\">",
        "autocomplete=\"username\"",
        "<label for=\"password\">",
        "autocomplete=\"current-password\"",
        "type=\"password\"",
        "name=\"next\" value=\"/s/7k3n9v2q/lab?a=&#34;b\"",
        "evenkeel sign-in-link",
    ] {
        assert!(page.text.contains(part), "no {part} in {}", page.text);
    }
    assert!(!page.text.contains("role=\"alert\"") && !page.text.contains("<script>"), "{}", page.text);
}

#[tokio::test]
async fn the_account_itself_says_what_its_name_is() {
    let site = Site::open().await;
    let answer = site.give_password("ALICE", PASSWORD).await;
    assert!(site.visit("/", cookie(&answer)).await.text.contains("<span>alice</span>"));
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_one_answer() {
    let site = Site::open().await;
    let same = |answer: Answer, name: &str| (answer.status, answer.text.replace(name, "NAME"));
    let wrong = site.give_password("alice", "wrong").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    assert!(wrong.text.contains("role=\"alert\"") && wrong.text.contains("is not right"), "{}", wrong.text);
    assert!(wrong.text.contains("value=\"alice\"") && !wrong.text.contains("wrong\""), "{}", wrong.text);
    let wrong = same(wrong, "alice");
    assert_eq!(same(site.give_password("nobody-knows", PASSWORD).await, "nobody-knows"), wrong);
    assert_eq!(same(site.give_password("alice", "").await, "alice"), wrong);
}

#[tokio::test]
async fn what_was_typed_is_shown_as_text() {
    let site = Site::open().await;
    let answer = site.give_password("%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", "x").await;
    assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
}

#[tokio::test]
async fn whoever_proved_who_they_are_is_told_why_they_may_not_come_in() {
    let site = Site::open().await;
    for (user, told) in [
        ("expired", "the account has expired; ask its administrator (since &#60;yesterday&#62;)."),
        ("old", "the password has expired; sign in to a machine another way, by SSH for example, change it"),
        ("guest", "guest is in no group that may sign in (ops, staff)."),
        ("daemon", "daemon has the user id 2, and those below 1000 have no sessions"),
        ("gone", "gone has no account on this machine."),
    ] {
        let answer = site.give_password(user, PASSWORD).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, ""), "{user}");
        assert!(answer.text.contains(told), "no {told} in {}", answer.text);
        assert!(site.give_password(user, "wrong").await.text.contains("is not right"), "{user}");
    }
}

#[tokio::test]
async fn a_password_that_cannot_be_checked_is_to_be_tried_again_and_no_detail_is_told() {
    let site = Site::open().await;
    let answer = site.give_password("broken", PASSWORD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(answer.text.contains("cannot be checked now") && !answer.text.contains("secret"), "{}", answer.text);
}

#[tokio::test]
async fn without_the_store_nobody_new_signs_in_and_whoever_is_stays() {
    let site = Site::open().await;
    let cookie = cookie(&site.give_password("alice", PASSWORD).await).to_owned();
    site.store.close().await;
    let answer = site.give_password("alice", PASSWORD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(answer.text.contains("registry") && answer.text.contains("value=\"alice\""), "{}", answer.text);
    assert_eq!(site.visit("/sign-in", &cookie).await.header("location"), "/");
}

#[tokio::test]
async fn another_sites_page_signs_nobody_in_as_somebody_else() {
    let site = Site::open().await;
    let form = format!("user=alice&password={PASSWORD}");
    for origin in ["http://evil.example", "null", "http://node1:8788"] {
        let answer = site.submit("/sign-in", "", origin, &form).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, ""), "{origin}");
    }
    let silent = Request::post("/sign-in").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = Answer::read(site.send(silent.body(Body::from(form)).unwrap()).await).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
}

#[tokio::test]
async fn after_the_form_nobody_is_led_to_another_site() {
    let site = Site::open().await;
    for next in ["//evil.example", "/%5Cevil.example", "http%3A%2F%2Fevil.example", "%2F%09%2Fevil.example", "/.//evil"]
    {
        let form = format!("user=alice&password={PASSWORD}&next={next}");
        let answer = site.submit("/sign-in", "", HERE, &form).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"), "{next}");
    }
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down_for_their_user_and_no_other() {
    let site = Site::open().await;
    for turn in 0..10 {
        let name = if turn % 2 == 0 { "alice" } else { "Alice" };
        assert_eq!(site.give_password(name, "wrong").await.status, StatusCode::FORBIDDEN, "{turn}");
    }
    let slowed = site.give_password("alice", PASSWORD).await;
    assert_eq!((slowed.status, slowed.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    assert!(slowed.text.contains("Wait 60 seconds"), "{}", slowed.text);
    assert_eq!(site.give_password("bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
    site.clock.advance(jiff::SignedDuration::from_secs(60));
    assert_eq!(site.give_password("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn attempts_at_once_are_counted_before_they_are_known_to_be_wrong() {
    let site = Site::open().await;
    let all = futures_util::future::join_all((0..40).map(|_| site.give_password("alice", "wrong"))).await;
    let tried = all.iter().filter(|answer| answer.status == StatusCode::FORBIDDEN).count();
    assert_eq!(tried, 10);
    assert!(all.iter().all(|a| matches!(a.status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)));
}

#[tokio::test]
async fn right_passwords_and_broken_checks_do_not_use_up_attempts() {
    let site = Site::open().await;
    for _ in 0..12 {
        assert_eq!(site.give_password("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
        assert_eq!(site.give_password("broken", PASSWORD).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_root_says_who_alone_can_sign_in() {
    let mut site = Site::open().await;
    site.run_as("alice", 1001);
    let page = site.visit("/sign-in", "").await.text;
    assert!(page.contains("does not run as root, so only <strong>alice</strong>"), "{page}");
    for name in ["bob", "nobody-knows"] {
        let answer = site.give_password(name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        assert!(answer.text.contains("Only alice, whom this server runs as, can sign in here"), "{}", answer.text);
    }
    assert_eq!(site.give_password("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn signing_in_again_ends_the_sign_in_before() {
    let site = Site::open().await;
    let before = cookie(&site.give_password("alice", PASSWORD).await).to_owned();
    let form = format!("user=bob&password={PASSWORD}");
    let answer = site.submit("/sign-in", &before, HERE, &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(site.visit("/", cookie(&answer)).await.text.contains("<span>bob</span>"));
    assert_eq!(site.visit("/", &before).await.status, StatusCode::SEE_OTHER, "the old cookie is worth nothing");
}
