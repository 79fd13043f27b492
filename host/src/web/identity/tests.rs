//! Who is signed in, and who is not.

use std::{path::Path, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use super::{
    Identity, Means, SignIns,
    cookie::{CookieKey, Pass},
};
use crate::{
    domain::Clock,
    store::sqlite::SqliteStore,
    web::fixture::{Site, TOKEN, USER, sign_ins},
};

fn with(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

#[tokio::test]
async fn a_cookie_signs_in_on_every_node_of_the_cluster() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let elsewhere = Site::open().await;
    let found = elsewhere.app.sign_ins.identify(&with("cookie", &format!("a=b; {cookie}; c=d"))).unwrap();
    assert_eq!(found.user, USER);
    assert!(!found.is_administrator());
}

#[tokio::test]
async fn no_changed_cookie_signs_in() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let (name, value) = cookie.split_once('=').unwrap();
    for at in 0..value.len() {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        // The last character of base64 carries bits that do not count; the decoder refuses those that are not zero.
        let changed = format!("{name}={}", String::from_utf8(bytes).unwrap());
        assert_eq!(site.app.sign_ins.identify(&with("cookie", &changed)), None, "{at}");
    }
    for value in ["", ".", "1", "1.....", "1.YWxpY2U.AAAAAAAAAAAAAAAAAAAAAA.0.9999999999."] {
        assert_eq!(site.app.sign_ins.identify(&with("cookie", &format!("{name}={value}"))), None, "{value}");
    }
    let other = CookieKey::new([8; 32]);
    let now = site.clock.now();
    let pass =
        Pass { user: USER.to_owned(), id: [0; 16], issued: now, expires: super::later(now, Duration::from_secs(9)) };
    assert_eq!(site.app.sign_ins.identify(&with("cookie", &format!("{name}={}", other.seal(&pass)))), None);
    // The cluster key is being replaced: whoever signed in by the other one stays so.
    let known = CookieKey::new([6; 32]);
    assert!(site.app.sign_ins.identify(&with("cookie", &format!("{name}={}", known.seal(&pass)))).is_some());
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_not_used_and_lasts_while_it_is() {
    let site = Site::open().await;
    let mut cookie = site.cookie();
    assert_eq!(site.visit("/", &cookie).await.header("set-cookie"), "", "not before half of its time");
    for _ in 0..5 {
        site.advance(2000).await;
        let answer = site.visit("/", &cookie).await;
        assert_eq!(answer.status, StatusCode::OK);
        cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    }
    site.clock.advance(jiff::SignedDuration::from_secs(3601));
    assert_eq!(site.visit("/", &cookie).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn signing_out_ends_every_copy_of_the_cookie() {
    let site = Site::open().await;
    let cookie = site.cookie();
    site.advance(2000).await;
    let prolonged = site.visit("/", &cookie).await.header("set-cookie").split(';').next().unwrap().to_owned();
    let out = site.submit("/sign-out", &cookie, "http://node1:8787", "").await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    assert!(out.header("set-cookie").starts_with("evenkeel=; ") && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(out.headers.get_all(header::SET_COOKIE).iter().count(), 1);
    for copy in [cookie, prolonged] {
        assert_eq!(site.visit("/", &copy).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn another_sites_form_signs_nobody_out() {
    let site = Site::open().await;
    let out = site.submit("/sign-out", "", "http://evil.example", "").await;
    assert_eq!((out.status, out.header("set-cookie")), (StatusCode::SEE_OTHER, ""));
    let own = site.submit("/sign-out", "evenkeel=stale", "http://node1:8787", "").await;
    assert!(own.header("set-cookie").starts_with("evenkeel=; "), "what is no sign-in any more goes as well");
}

#[tokio::test]
async fn a_planted_second_cookie_of_somebody_else_signs_nobody_in() {
    let site = Site::open().await;
    let now = site.clock.now();
    let pass = Pass {
        user: "mallory".to_owned(),
        id: [1; 16],
        issued: now,
        expires: super::later(now, Duration::from_secs(9)),
    };
    let planted = format!("evenkeel={}", CookieKey::new([7; 32]).seal(&pass));
    let own = site.cookie();
    assert_eq!(site.app.sign_ins.identify(&with("cookie", &planted)).unwrap().user, "mallory");
    assert_eq!(site.app.sign_ins.identify(&with("cookie", &format!("{planted}; {own}"))), None);
    assert_eq!(site.app.sign_ins.identify(&with("cookie", &format!("evenkeel=rubbish; {own}"))).unwrap().user, USER);
}

#[tokio::test]
async fn only_the_token_itself_is_an_administrators() {
    let site = Site::open().await;
    let found = |value: &str| site.app.sign_ins.identify(&with("authorization", value));
    let identity = Identity { user: USER.to_owned(), means: Means::Token };
    assert_eq!(found(&format!("Bearer {TOKEN}")), Some(identity.clone()));
    assert_eq!(found(&format!("bearer {TOKEN}")), Some(identity));
    for value in ["", "Bearer", "Bearer ", "Bearer x", &format!("Basic {TOKEN}"), TOKEN, &format!("Bearer {TOKEN}x")] {
        assert_eq!(found(value), None, "{value}");
    }
    let mut twice = with("authorization", &format!("Bearer {TOKEN}"));
    twice.append("authorization", HeaderValue::from_static("Bearer x"));
    assert_eq!(site.app.sign_ins.identify(&twice), None);
}

#[tokio::test]
async fn no_header_that_a_proxy_might_set_signs_in() {
    let site = Site::open().await;
    for name in
        ["x-forwarded-user", "x-rstudio-username", "x-remote-user", "remote-user", "x-forwarded-for", "evenkeel-hop"]
    {
        let request = Request::get("/api/v1/sessions").header(name, USER).body(Body::empty()).unwrap();
        let response = site.send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}

#[tokio::test]
async fn changes_with_a_cookie_must_come_from_a_page_of_this_server() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let id = site.start(USER).await.id;
    for path in ["/sessions", "/sign-out", &format!("/sessions/{id}/end"), &format!("/api/v1/sessions/{id}/suspend")] {
        for origin in ["http://evil.example", "null", "http://node1:8788", "http://node1:8787.evil.example"] {
            let answer = site.submit(path, &cookie, origin, "kind=echo").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {origin}");
        }
        let silent = Request::post(path).header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
        assert_eq!(site.send(silent).await.status(), StatusCode::FORBIDDEN, "{path} without an origin");
    }
    assert_eq!(site.ask(Method::GET, "/api/v1/sessions", "").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(site.visit("/", &cookie).await.status, StatusCode::OK, "still signed in");
}

/// Another node of the same cluster, with what it keeps in that directory.
fn node_in(directory: &Path, site: &Site) -> Arc<SignIns> {
    Arc::new(sign_ins(directory, site.clock.clone(), Arc::new(crate::domain::fakes::Numbers::of(9))))
}

/// Another node of the same cluster that keeps nothing.
fn another_node(site: &Site) -> Arc<SignIns> {
    node_in(Path::new("/nonexistent"), site)
}

/// A store that does not answer.
async fn away() -> SqliteStore {
    let elsewhere = tempfile::tempdir().unwrap();
    let away = SqliteStore::open(elsewhere.path(), Duration::from_secs(60)).await.unwrap();
    away.close().await;
    away
}

#[tokio::test]
async fn what_is_signed_out_at_one_node_is_refused_by_the_others_once_they_have_read_of_it() {
    let site = Site::open().await;
    let other = another_node(&site);
    let cookie = site.cookie();
    assert!(other.identify(&with("cookie", &cookie)).is_some());
    site.submit("/sign-out", &cookie, "http://node1:8787", "").await;
    other.catch_up(&*site.store).await.unwrap();
    assert_eq!(other.identify(&with("cookie", &cookie)), None);
    let third = another_node(&site);
    third.catch_up(&*site.store).await.unwrap();
    assert_eq!(third.identify(&with("cookie", &cookie)), None, "nor by one that starts later");
    assert!(third.identify(&with("cookie", &site.cookie())).is_some(), "another sign-in goes on");
}

#[tokio::test]
async fn a_sign_out_while_the_store_is_away_holds_here_and_is_told_when_it_is_back() {
    let site = Site::open().await;
    let (here, other) = (another_node(&site), another_node(&site));
    let cookie = site.cookie();
    here.sign_out(&with("cookie", &cookie));
    assert!(!here.tell(&away().await).await);
    assert_eq!(here.identify(&with("cookie", &cookie)), None);
    assert!(here.tell(&*site.store).await);
    other.catch_up(&*site.store).await.unwrap();
    assert_eq!(other.identify(&with("cookie", &cookie)), None);
}

#[tokio::test]
async fn a_sign_out_that_nobody_heard_of_outlives_its_daemon() {
    let site = Site::open().await;
    let kept = tempfile::tempdir().unwrap();
    let cookie = with("cookie", &site.cookie());
    let here = node_in(kept.path(), &site);
    here.sign_out(&cookie);
    assert!(!here.tell(&away().await).await);
    drop(here);
    let again = node_in(kept.path(), &site);
    again.catch_up(&*site.store).await.unwrap();
    assert_eq!(again.identify(&cookie), None);
    assert!(again.tell(&*site.store).await);
    assert_eq!(kept.path().read_dir().unwrap().count(), 0, "what was told is kept no longer");
    let other = another_node(&site);
    other.catch_up(&*site.store).await.unwrap();
    assert_eq!(other.identify(&cookie), None);
}

#[tokio::test]
async fn nothing_is_prolonged_by_a_node_that_does_not_hear_of_sign_outs() {
    let site = Site::open().await;
    let cookie = site.cookie();
    site.clock.advance(jiff::SignedDuration::from_secs(2000));
    let answer = site.visit("/", &cookie).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::OK, ""));
    site.app.sign_ins.catch_up(&*site.store).await.unwrap();
    assert_ne!(site.visit("/", &cookie).await.header("set-cookie"), "");
}

#[tokio::test]
async fn a_sign_in_has_a_greatest_age_however_much_it_is_used() {
    let site = Site::open().await;
    let mut cookie = site.cookie();
    let mut visits = 0;
    loop {
        site.advance(1900).await;
        let answer = site.visit("/", &cookie).await;
        if answer.status != StatusCode::OK {
            break;
        }
        visits += 1;
        let prolonged = answer.header("set-cookie").split(';').next().unwrap();
        if !prolonged.is_empty() {
            cookie = prolonged.to_owned();
        }
    }
    assert_eq!(visits, 86_400 / 1900);
}

#[tokio::test]
async fn whoever_may_not_sign_in_any_more_is_signed_out_when_their_sign_in_would_be_prolonged() {
    let site = Site::open().await;
    for (user, stays) in [("alice", true), ("guest", false), ("gone", false), ("daemon", false)] {
        let cookie = site.app.sign_ins.sign_in(user);
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(site.visit("/", &cookie).await.status, StatusCode::OK, "{user}");
        site.advance(2000).await;
        let answer = site.visit("/", &cookie).await;
        let expected = if stays { StatusCode::OK } else { StatusCode::SEE_OTHER };
        assert_eq!((answer.status, answer.header("set-cookie").is_empty()), (expected, !stays), "{user}");
        assert_eq!(site.app.sign_ins.identify(&with("cookie", &cookie)).is_some(), stays, "{user}");
    }
}

#[tokio::test]
async fn signing_out_ends_every_sign_in_of_the_browser() {
    let site = Site::open().await;
    let cookies = [site.cookie(), site.cookie()];
    site.submit("/sign-out", &cookies.join("; "), "http://node1:8787", "").await;
    for cookie in &cookies {
        assert_eq!(site.app.sign_ins.identify(&with("cookie", cookie)), None);
    }
}

#[tokio::test]
async fn a_sign_in_that_ends_is_noticed_by_who_waits_for_it_and_by_nobody_else() {
    let site = Site::open().await;
    let other = another_node(&site);
    let cookies = [site.cookie(), site.cookie()];
    let identities = cookies.each_ref().map(|cookie| other.identify(&with("cookie", cookie)).unwrap());
    let [mut ends, mut stays] = identities.map(|identity| tokio::spawn(other.until_ended(identity)));
    site.app.sign_ins.sign_out(&with("cookie", &cookies[0]));
    site.app.sign_ins.tell(&*site.store).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&other).follow(site.store.clone(), stop.clone()));
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, &mut ends).await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut stays).await.is_err());
    stop.cancel();
    following.await.unwrap();
}
