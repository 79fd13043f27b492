//! The pages as a person's browser meets them, without a script.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};

use crate::{
    domain::{DrainOrder, Epoch, NodeId, State, Wanted},
    store::{Registration, Report, SessionFilter, Store, story::registration},
    web::{
        Client,
        fixture::{Answer, Site, USER},
    },
};

const HERE: &str = "http://node1:8787";

fn path(link: &str) -> &str {
    link.strip_prefix(HERE).unwrap()
}

#[tokio::test]
async fn a_one_time_link_signs_in_once() {
    let site = Site::open().await;
    let link = site.app.sign_ins.issue_code(Duration::from_secs(600)).link(HERE);
    let first = site.visit(&format!("{}&next=/sessions/7k3n9v2q/join", path(&link)), "").await;
    assert_eq!((first.status, first.header("location")), (StatusCode::SEE_OTHER, "/sessions/7k3n9v2q/join"));
    let set = first.header("set-cookie").to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(site.visit("/", set.split(';').next().unwrap()).await.status, StatusCode::OK);
    let second = site.visit(path(&link), "").await;
    assert_eq!((second.status, second.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    assert!(second.text.contains("used before") && second.text.contains("evenkeel sign-in-link"), "{second:?}");
}

#[tokio::test]
async fn a_link_is_not_used_up_by_what_only_looks_and_not_good_for_ever() {
    let site = Site::open().await;
    let link = site.app.sign_ins.issue_code(Duration::from_secs(600)).link(HERE);
    let head = Request::head(path(&link)).body(Body::empty()).unwrap();
    assert_eq!(site.send(head).await.headers().get(header::SET_COOKIE), None);
    let ahead = site.knock(path(&link), "10.0.0.9:1", Some(("sec-purpose", "prefetch;prerender"))).await;
    assert_eq!(ahead.header("set-cookie"), "");
    site.store.close().await;
    let away = site.visit(path(&link), "").await;
    assert_eq!((away.status, away.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));

    let site = Site::open().await;
    let link = site.app.sign_ins.issue_code(Duration::from_secs(600)).link(HERE);
    site.clock.advance(jiff::SignedDuration::from_secs(601));
    assert_eq!(site.visit(path(&link), "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn after_signing_in_nobody_is_led_to_another_site() {
    let site = Site::open().await;
    for next in ["//evil.example", "/%5Cevil.example", "http://evil.example", "/%09/evil.example", "%2F%2Fevil.example"]
    {
        let link = site.app.sign_ins.issue_code(Duration::from_secs(600)).link(HERE);
        let answer = site.visit(&format!("{}&next={next}", path(&link)), "").await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"), "{next}");
        let signed_in = site.visit(&format!("/sign-in?next={next}"), &site.cookie()).await;
        assert_eq!(signed_in.header("location"), "/", "{next}");
    }
}

#[tokio::test]
async fn who_tries_codes_is_slowed_down_and_nobody_else() {
    let site = Site::open().await;
    let link = site.app.sign_ins.issue_code(Duration::from_secs(600)).link(HERE);
    for _ in 0..10 {
        assert_eq!(site.knock("/sign-in?code=guess", "10.0.0.66:1", None).await.status, StatusCode::FORBIDDEN);
    }
    let slowed = site.knock(path(&link), "10.0.0.66:2", None).await;
    assert_eq!((slowed.status, slowed.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    assert_eq!(site.knock(path(&link), "10.0.0.5:1", None).await.status, StatusCode::SEE_OTHER);
    site.clock.advance(jiff::SignedDuration::from_secs(61));
    assert_eq!(site.knock("/sign-in?code=guess", "10.0.0.66:3", None).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_new_link_is_made_for_the_holder_of_the_token() {
    let site = Site::open().await;
    let made = site.ask(Method::POST, "/api/v1/sign-in-codes", "").await;
    assert_eq!(made.status, StatusCode::CREATED);
    let link = made.json()["link"].as_str().unwrap().to_owned();
    assert_eq!(site.visit(path(&link), "").await.status, StatusCode::SEE_OTHER);
    let by_cookie = site.submit("/api/v1/sign-in-codes", &site.cookie(), HERE, "").await;
    assert_eq!(by_cookie.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_for_another_user_is_made_for_those_who_may_have_sessions() {
    let site = Site::open().await;
    let made = site.ask(Method::POST, "/api/v1/sign-in-codes?user=ada", "").await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.json()["user"], "ada");
    let link = made.json()["link"].as_str().unwrap().to_owned();
    let signed_in = site.visit(path(&link), "").await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(site.visit("/", &cookie).await.text.contains("ada"));
    for (user, status, detail) in [
        ("nobody-knows", StatusCode::NOT_FOUND, "this node has no account nobody-knows"),
        ("mail", StatusCode::FORBIDDEN, "mail has the user id 8, and those below 1000 have no sessions"),
    ] {
        let refused = site.ask(Method::POST, &format!("/api/v1/sign-in-codes?user={user}"), "").await;
        assert_eq!(refused.status, status);
        assert!(refused.json()["detail"].as_str().unwrap().starts_with(detail), "{refused:?}");
    }
}

#[tokio::test]
async fn a_session_is_started_from_the_home_page_and_joined_when_ready() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let home = site.visit("/", &cookie).await;
    assert_eq!(home.status, StatusCode::OK);
    for part in
        ["+ New Session", "Join session when ready", "Echo &#60;test&#62;", "node1", "0.013, 0.038, 0", "(here)"]
    {
        assert!(home.text.contains(part), "{part} in {}", home.text);
    }
    let form = "kind=echo&name=%3Cscript%3Ealert(1)%3C%2Fscript%3E&join=on";
    let started = site.submit("/sessions", &cookie, HERE, form).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{started:?}");
    let join = started.header("location").to_owned();
    let id = join.split('/').nth(2).unwrap().parse().unwrap();
    let waiting = site.visit(&join, &cookie).await;
    assert!(waiting.text.contains("http-equiv=\"refresh\"") && waiting.text.contains("starting"), "{waiting:?}");
    assert!(!waiting.text.contains("<script>"), "names are escaped");
    assert!(site.store.claim(id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(id, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    let ready = site.visit(&join, &cookie).await;
    assert_eq!((ready.status, ready.header("location")), (StatusCode::SEE_OTHER, format!("/s/{id}/").as_str()));
    let home = site.visit("/", &cookie).await;
    assert!(home.text.contains(&format!("href=\"/s/{id}/\"")) && !home.text.contains("<script>"));
    let stay = site.submit("/sessions", &cookie, HERE, "kind=echo&name=").await;
    assert_eq!((stay.status, stay.header("location")), (StatusCode::SEE_OTHER, "/"));
}

#[tokio::test]
async fn buttons_suspend_and_end_what_is_the_visitors_own() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let theirs = site.start("bob").await.id;
    let own = site.start(USER).await.id;
    assert_eq!(site.submit(&format!("/sessions/{theirs}/end"), &cookie, HERE, "").await.status, StatusCode::NOT_FOUND);
    assert!(!site.visit("/", &cookie).await.text.contains(theirs.as_str()));
    let suspended = site.submit(&format!("/sessions/{own}/suspend"), &cookie, HERE, "").await;
    assert_eq!((suspended.status, suspended.header("location")), (StatusCode::SEE_OTHER, "/"));
    assert!(site.visit("/", &cookie).await.text.contains(&format!("/sessions/{own}/resume")));
    site.submit(&format!("/sessions/{own}/end"), &cookie, HERE, "").await;
    assert!(!site.visit("/", &cookie).await.text.contains(own.as_str()));
}

#[tokio::test]
async fn a_lost_session_is_resumed_from_the_page_once_the_risk_is_taken() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let own = site.start_claimed(USER).await.id;
    site.store.leave(NodeId(1)).await.unwrap();
    site.store.delete_node(NodeId(1)).await.unwrap();
    let home = site.visit("/", &cookie).await.text;
    assert!(home.contains("value=\"may-run-twice\" required") && home.contains("still runs there"), "{home}");
    let path = format!("/sessions/{own}/resume");
    let refused = site.submit(&path, &cookie, HERE, "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("still runs there"), "{refused:?}");
    let resumed = site.submit(&path, &cookie, HERE, "confirm=may-run-twice").await;
    assert_eq!(
        (resumed.status, resumed.header("location")),
        (StatusCode::SEE_OTHER, format!("/sessions/{own}/join").as_str())
    );
}

#[tokio::test]
async fn sessions_are_renamed_and_all_suspended_and_ended_from_the_page() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let own = site.start(USER).await.id;
    assert!(!site.visit("/", &cookie).await.text.contains("End All"), "one alone has its own button");
    let other = site.start(USER).await.id;
    let theirs = site.start("bob").await.id;
    let rename = format!("/sessions/{own}/rename");
    let renamed = site.submit(&rename, &cookie, HERE, "name=%3Cb%3EThesis").await;
    assert_eq!((renamed.status, renamed.header("location")), (StatusCode::SEE_OTHER, "/"));
    let home = site.visit("/", &cookie).await.text;
    assert!(home.contains("value=\"&#60;b&#62;Thesis\"") && home.contains("End all 2 sessions"), "{home}");
    assert_eq!(site.submit(&rename, &cookie, HERE, "name=%07").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.submit(&rename, &cookie, "http://evil.example", "name=x").await.status, StatusCode::FORBIDDEN);

    assert!(site.store.claim(own, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(own, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    assert!(site.visit("/", &cookie).await.text.contains("id=\"suspend-all\""));
    assert_eq!(site.submit("/sessions/suspend", &cookie, HERE, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.store.session(own).await.unwrap().unwrap().wanted, Some(Wanted::Suspended));
    assert_eq!(site.store.session(other).await.unwrap().unwrap().state, State::Suspended);
    assert_eq!(site.submit("/sessions/end", &cookie, HERE, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.store.session(other).await.unwrap().unwrap().state, State::Ended);
    assert_eq!(site.store.session(theirs).await.unwrap().unwrap().state, State::Starting);
}

#[tokio::test]
async fn the_page_says_why_a_session_was_suspended_and_when_one_was_used() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let own = site.start(USER).await.id;
    assert!(site.store.claim(own, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(own, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    assert!(site.visit("/", &cookie).await.text.contains("· used "));
    site.store
        .want_unused(own, Epoch::FIRST, Wanted::Suspended, "suspended after 2 hours without use", &|| true)
        .await
        .unwrap();
    assert!(site.store.report(own, Epoch::FIRST, &Report::Suspended).await.unwrap().is_some());
    assert!(site.visit("/", &cookie).await.text.contains("suspended after 2 hours without use"));
    let session = site.ask(Method::GET, &format!("/api/v1/sessions/{own}"), "").await.json();
    assert_eq!(session["note"], "suspended after 2 hours without use");
    assert!(session["last_activity"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_failed_session_shows_why() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let id = site.start(USER).await.id;
    let failure = "exit status 1; the last lines of its log:\n<b>no module named lab</b>".to_owned();
    assert!(site.store.claim(id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(id, Epoch::FIRST, &Report::Failed { failure }).await.unwrap().is_some());
    for page in ["/".to_owned(), format!("/sessions/{id}/join")] {
        let shown = site.visit(&page, &cookie).await.text;
        assert!(shown.contains("&#60;b&#62;no module named lab"), "{shown}");
        assert!(shown.contains("Failed") && !shown.contains("http-equiv=\"refresh\" content=\"2\""));
    }
}

#[tokio::test]
async fn a_job_shows_its_log_and_its_exit_status_and_cannot_be_opened() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let job = site.start_job(USER).await;
    let id = job.id;
    assert!(site.store.claim(id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(id, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    let home = site.visit("/", &cookie).await.text;
    assert!(home.contains(&format!("href=\"/sessions/{id}/log\"")) && home.contains(&format!("/sessions/{id}/end")));
    assert!(!home.contains(&format!("/s/{id}/")) && !home.contains(&format!("/sessions/{id}/suspend")), "{home}");
    assert!(!home.contains("<option value=\"job\""), "what a job runs does not fit into the form");
    let join = site.visit(&format!("/sessions/{id}/join"), &cookie).await;
    assert_eq!(join.header("location"), format!("/sessions/{id}/log"));
    let log = site.visit(&format!("/sessions/{id}/log"), &cookie).await.text;
    assert!(log.contains("1000 &#60;lines&#62;") && log.contains(&format!("data-log=\"{id}\"")), "{log}");

    let exited = Report::Exited { status: 3, failure: Some("failed with status 3".to_owned()) };
    assert!(site.store.report(id, Epoch::FIRST, &exited).await.unwrap().is_some());
    for page in ["/".to_owned(), format!("/sessions/{id}/log")] {
        let shown = site.visit(&page, &cookie).await.text;
        assert!(shown.contains("Failed") && shown.contains("exit status 3"), "{shown}");
        assert!(!shown.contains("data-log"), "{shown}");
    }
    let theirs = site.start_job("bob").await.id;
    assert_eq!(site.visit(&format!("/sessions/{theirs}/log"), &cookie).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_limited_can_be_chosen_and_a_limit_that_is_reached_is_told_on_the_page() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let home = site.visit("/", &cookie).await.text;
    let field = r#"<input id="cpus" name="cpus" type="number" min="0" step="any" max="4" placeholder="0.5""#;
    assert!(home.contains(field) && !home.contains("name=\"memory\""), "{home}");
    assert!(home.contains("<option value=\"small\">Small &#60;one&#62;</option>"), "{home}");
    let refused = site.submit("/sessions", &cookie, HERE, "kind=echo&name=&cpus=3.5").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let told = "has 1 processor now, this session asks for 3.5 processors, and max-cpus=4 under [*] allows";
    assert!(refused.text.contains(told), "{refused:?}");
    let started = site.submit("/sessions", &cookie, HERE, "kind=echo&name=&cpus=3&memory=512").await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{started:?}");
    let session = site.store.sessions(&SessionFilter::default()).await.unwrap().remove(0);
    assert_eq!((session.cpus, session.memory), (3.0, 512 << 20));
    for (form, told) in [
        ("cpus=many", "cpus: must be a number from 0 to 65536"),
        ("memory=1.5", "memory: must be a whole number of MB"),
        ("memory=99999999999999999", "memory: must be a whole number of MB"),
    ] {
        let wrong = site.submit("/sessions", &cookie, HERE, &format!("kind=echo&{form}")).await;
        assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains(told), "{form}: {wrong:?}");
    }
}

#[tokio::test]
async fn whoever_has_a_session_on_a_node_that_is_emptied_is_told_what_becomes_of_it() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let id = site.start(USER).await.id;
    let outlook = format!("outlook-{id}");
    assert!(!site.visit("/", &cookie).await.text.contains(&outlook));
    let hour = Some(Duration::from_secs(3600));
    let order = DrainOrder { within: hour, end: false, maintenance: false };
    site.store.drain(NodeId(1), &order).await.unwrap();
    let home = site.visit("/", &cookie).await.text;
    assert!(home.contains(&outlook) && home.contains("Its node is being emptied: this is suspended at "), "{home}");
    assert!(home.contains("Draining"), "{home}");
    site.store.drain(NodeId(1), &DrainOrder::MAINTENANCE).await.unwrap();
    assert!(site.visit("/", &cookie).await.text.contains("Maintenance"));
    site.store.set_cordoned(NodeId(1), false).await.unwrap();
    assert!(!site.visit("/", &cookie).await.text.contains(&outlook));
}

#[tokio::test]
async fn starts_that_wait_for_others_are_told_their_turn() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let [first, second] = [site.start(USER).await.id, site.start(USER).await.id];
    assert!(site.store.claim(first, Epoch::FIRST, NodeId(1)).await.unwrap());
    let turn = |session: serde_json::Value| session["turn"].as_u64();
    let one = site.ask(Method::GET, &format!("/api/v1/sessions/{second}"), "").await.json();
    assert_eq!(turn(one), Some(1));
    let list = site.ask(Method::GET, "/api/v1/sessions", "").await.json();
    let turns: Vec<_> = list["items"].as_array().unwrap().iter().filter_map(|one| turn(one.clone())).collect();
    assert_eq!(turns, [1]);
    let home = site.visit("/", &cookie).await.text;
    assert_eq!(home.matches("number 1 in line,").count(), 1, "{home}");
    let join = site.visit(&format!("/sessions/{second}/join"), &cookie).await.text;
    assert!(join.contains("number 1 in line,"), "{join}");
}

#[tokio::test]
async fn a_wrong_form_says_what_is_wrong_and_reflects_nothing() {
    let site = Site::open().await;
    let cookie = site.cookie();
    let unknown = site.submit("/sessions", &cookie, HERE, "kind=%3Cimg%20src%3Dx%3E").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!unknown.text.contains("src=x") && unknown.text.contains("there are: echo"), "{unknown:?}");
    assert_eq!(site.submit("/sessions", &cookie, HERE, "name=x").await.status, StatusCode::BAD_REQUEST);
    let missing = site.visit("/no/%3Cscript%3E/such?x=%3Cscript%3E", &cookie).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(!missing.text.contains("such") && missing.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn what_is_wrong_with_the_placing_of_sessions_is_on_the_home_page_without_anybodys_own_words() {
    let site = Site::open().await;
    let home = site.visit("/", &site.cookie()).await;
    assert!(home.text.contains("the new file of balancer mine is not taken."), "{}", home.text);
    assert!(!home.text.contains("it is text") && !home.text.contains("place by different"), "{}", home.text);
    site.store.set_balancer_digest(NodeId(1), Some("ff")).await.unwrap();
    let other = Registration { balancer_digest: Some("ee".to_owned()), ..registration("node2") };
    site.store.register(&other).await.unwrap();
    let home = site.visit("/", &site.cookie()).await;
    assert!(home.text.contains("nodes place by different balancers: node2 by ee; node1 by ff."), "{}", home.text);
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_sign_in_and_back() {
    let site = Site::open().await;
    let answer = site.visit("/sessions/7k3n9v2q/join?x=1", "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/sign-in?next=/sessions/7k3n9v2q/join%3Fx%3D1");
    assert!(site.visit("/sign-in", "").await.text.contains("evenkeel sign-in-link"));
}

#[tokio::test]
async fn while_the_store_is_away_the_home_page_says_so() {
    let site = Site::open().await;
    let cookie = site.cookie();
    site.store.close().await;
    let home = site.visit("/", &cookie).await;
    assert_eq!((home.status, home.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(home.text.contains("does not answer") && home.text.contains(USER), "{home:?}");
}

fn assert_protected(answer: &Answer) {
    let names: &[&str] = &["content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options"];
    assert!(names.iter().all(|name| answer.headers.contains_key(*name)), "{:?}", answer.headers);
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn every_answer_is_protected_and_no_page_has_a_script_or_style_of_its_own() {
    let site = Site::open().await;
    site.start(USER).await;
    let cookie = site.cookie();
    for path in
        ["/", "/sign-in", "/none", "/assets/app.js", "/assets/style.css", "/api/v1/sessions", "/load-balancer/status"]
    {
        let answer = site.visit(path, &cookie).await;
        assert_protected(&answer);
        let is_asset = path.starts_with("/assets/");
        assert_eq!(answer.header("cache-control").contains("public"), is_asset, "{path}");
        if answer.header("content-type").starts_with("text/html") {
            for inline in ["<style", "style=", "onclick", "onload", "javascript:"] {
                assert!(!answer.text.contains(inline), "{inline} in {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_status_page_is_for_this_machine_and_the_cluster() {
    let site = Site::open().await;
    let session = site.start("bob").await;
    assert!(site.store.claim(session.id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(session.id, Epoch::FIRST, &Report::Started { pid: 48751 }).await.unwrap().is_some());
    site.start("bob").await;
    let page = "node1:8787 - 10.0.0.1  Load: 0.0063, 0.019, 0\n   48751 - bob\n\n";
    for client in ["127.0.0.1:9", "[::1]:9", "10.0.0.1:9", "[::ffff:10.0.0.1]:9"] {
        let answer = site.knock("/load-balancer/status", client, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, page), "{client}");
        assert!(answer.header("content-type").starts_with("text/plain"));
    }
    for client in ["10.0.0.2:9", "192.0.2.1:9", "[2001:db8::1]:9", "10.0.0.11:9"] {
        assert_eq!(site.knock("/load-balancer/status", client, None).await.status, StatusCode::FORBIDDEN, "{client}");
    }
    for name in ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x_forwarded_for"] {
        let answer = site.knock("/load-balancer/status", "127.0.0.1:9", Some((name, "127.0.0.1"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(site.visit("/load-balancer/status", &site.cookie()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_page_that_has_its_name_stand_for_this_machine_does_not_read_the_status() {
    let site = Site::open().await;
    let asked = async |host: &str, (name, value): (&str, &str)| {
        let request = Request::get("/load-balancer/status").extension(Client("127.0.0.1:9".parse().unwrap()));
        let request = request.header(header::HOST, host).header(name, value);
        site.send(request.body(Body::empty()).unwrap()).await.status()
    };
    for browser in [("user-agent", "Mozilla/5.0 (X11)"), ("accept-language", "")] {
        for host in ["evil.example", "evil.example:8787", "node1.evil.example", "127.0.0.1.evil.example"] {
            assert_eq!(asked(host, browser).await, StatusCode::FORBIDDEN, "{host}");
        }
        for host in ["127.0.0.1:8787", "[::1]:8787", "localhost:8787", "localhost.", "Node1", "10.0.0.1"] {
            assert_eq!(asked(host, browser).await, StatusCode::OK, "{host}");
        }
    }
    assert_eq!(asked("node1.example:8787", ("user-agent", "curl/8.0")).await, StatusCode::OK, "a script");
}

#[tokio::test]
async fn nobody_without_a_mac_is_a_peer() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let token = format!("Bearer {}", crate::web::fixture::TOKEN);
    let cookie = site.cookie();
    for proof in
        [None, Some(("authorization", token.as_str())), Some(("cookie", &cookie)), Some(("evenkeel-call", "x"))]
    {
        let answer = site.knock(&format!("/peer/v1/sessions/{id}/log?lines=3"), "127.0.0.1:9", proof).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{proof:?}");
    }
    let request = Request::post("/peer/v1/nudge").body(" ".repeat(1024 * 1024 + 1).into()).unwrap();
    assert_eq!(site.send(request).await.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn programs_and_people_are_told_apart_by_what_they_accept() {
    for (accept, people) in [
        ("text/html,application/xhtml+xml;q=0.9", true),
        ("application/json, text/html;q=0.1", true),
        ("*/*", false),
        ("application/json", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        assert_eq!(super::wants_html(&headers), people, "{accept}");
    }
}
