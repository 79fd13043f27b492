//! The REST API as programs meet it.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{
    balancer::{LogLevel, LogLine, Question, synthetic},
    domain::{Epoch, NodeId},
    store::{Report, Store},
    web::fixture::{Site, USER},
};

#[tokio::test]
async fn a_session_is_started_seen_and_ended() {
    let site = Site::open().await;
    let made = site.ask(Method::POST, "/api/v1/sessions", r#"{"kind": "echo", "name": "My <b>"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let session = made.json();
    let id = session["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/api/v1/sessions/{id}"));
    assert_eq!(session["user"], USER);
    assert_eq!(session["name"], "My <b>");
    assert_eq!(session["state"], "starting");
    assert_eq!(session["node"], json!({"id": 1, "name": "node1"}));
    assert_eq!(session["url"], format!("/s/{id}/"));
    assert!(session["created"].as_str().unwrap().ends_with('Z'));
    assert_eq!(session.get("pid"), None);

    let list = site.ask(Method::GET, "/api/v1/sessions", "").await.json();
    assert_eq!(list, json!({"items": [session], "next": null}));
    let ended = site.ask(Method::DELETE, &format!("/api/v1/sessions/{id}"), "").await;
    assert_eq!((ended.status, &ended.json()["state"]), (StatusCode::OK, &json!("ended")));
    let ended = site.ask(Method::GET, "/api/v1/sessions?state=ended", "").await.json();
    assert_eq!(ended["items"][0]["id"], id);
    let active = site.ask(Method::GET, "/api/v1/sessions?state=active", "").await.json();
    assert_eq!(active["items"], json!([]));
}

#[tokio::test]
async fn a_log_is_followed_from_a_byte_to_the_sessions_end() {
    let site = Site::open().await;
    let job = site.start_job(USER).await;
    let path = format!("/api/v1/sessions/{}/log?follow=true", job.id);
    site.ask(Method::DELETE, &format!("/api/v1/sessions/{}", job.id), "").await;
    let whole = site.ask(Method::GET, &path, "").await;
    assert_eq!((whole.text.as_str(), whole.header("content-type")), ("one\n<two>\n", "text/plain; charset=utf-8"));
    assert_eq!(site.ask(Method::GET, &format!("{path}&from=4"), "").await.text, "<two>\n");
    assert_eq!(site.ask(Method::GET, &format!("{path}&from=x"), "").await.status, StatusCode::BAD_REQUEST);
    let theirs = site.start_job("bob").await.id;
    let theirs = site.ask(Method::GET, &format!("/api/v1/sessions/{theirs}/log?follow=true"), "").await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn kinds_are_listed_with_the_nodes_that_offer_them() {
    let site = Site::open().await;
    let versions = [("echo".to_owned(), "1.0".to_owned())].into();
    site.store.set_kinds(NodeId(1), &["echo".to_owned(), "job".to_owned()], &versions).await.unwrap();
    let kinds = site.ask(Method::GET, "/api/v1/kinds", "").await.json();
    let node = |version: Option<&str>| json!([{"id": 1, "name": "node1", "version": version, "cordoned": false}]);
    assert_eq!(
        kinds["items"],
        json!([
            {"name": "echo", "title": "Echo <test>", "runs": "service", "untested": false, "nodes": node(Some("1.0"))},
            {"name": "job", "title": "Job", "runs": "job", "untested": false, "nodes": node(None)},
        ])
    );
    assert_eq!(
        site.ask(Method::GET, "/api/v1/nodes", "").await.json()["items"][0]["kind_versions"],
        json!({"echo": "1.0"})
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let site = Site::open().await;
    for _ in 0..5 {
        site.start(USER).await;
    }
    let mut found = Vec::new();
    let mut path = "/api/v1/sessions?limit=2".to_owned();
    loop {
        let page = site.ask(Method::GET, &path, "").await.json();
        found.extend(page["items"].as_array().unwrap().iter().map(|session| session["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/sessions?limit=2&after={next}");
    }
    assert_eq!(found.len(), 5);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 5);
    for query in ["limit=0", "limit=x", "limit=5000", "after=..", "state=sleeping"] {
        let answer = site.ask(Method::GET, &format!("/api/v1/sessions?{query}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let name = query.split('=').next().unwrap();
        assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_body_is_answered_with_a_document_that_names_the_field() {
    let site = Site::open().await;
    for (body, status, field) in [
        (r#"{"kind": "jupiter"}"#, 422, "/kind"),
        (r#"{"name": "x"}"#, 422, "/kind"),
        (r#"{"kind": "echo", "cpus": -1}"#, 422, "/cpus"),
        (r#"{"kind": "echo", "memory": 1.5}"#, 422, "/memory"),
        (r#"{"kind": "echo", "labels": {"gpu": 1}}"#, 422, "/labels"),
        (r#"{"kind": "echo", "user": "bob"}"#, 422, "/user"),
    ] {
        let answer = site.ask(Method::POST, "/api/v1/sessions", body).await;
        assert_eq!(answer.status.as_u16(), status, "{body} {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let unknown = site.ask(Method::POST, "/api/v1/sessions", r#"{"kind": "jupiter"}"#).await.json();
    assert_eq!(unknown["type"], "urn:problem-type:evenkeel:unknown-kind");
    assert_eq!(unknown["detail"], "there is no kind jupiter; there are: echo");
    let broken = site.ask(Method::POST, "/api/v1/sessions", "{").await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let long = format!(r#"{{"kind": "{}"}}"#, "x".repeat(1_100_000));
    assert_eq!(site.ask(Method::POST, "/api/v1/sessions", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let form = site.ask(Method::POST, "/api/v1/sessions", "").await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn what_belongs_to_others_is_as_absent_as_what_is_not_there() {
    let site = Site::open().await;
    let theirs = site.start("bob").await.id;
    assert_eq!(site.ask(Method::GET, "/api/v1/sessions", "").await.json()["items"], json!([]));
    // Whoever has the token sees that it is there, and neither enters it nor starts it.
    for (method, what) in [("POST", "/resume"), ("GET", "/log"), ("GET", "/../x")] {
        let method: Method = method.parse().unwrap();
        let answer = site.ask(method.clone(), &format!("/api/v1/sessions/{theirs}{what}"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
        let absent = site.ask(method, &format!("/api/v1/sessions/00000000{what}"), "").await;
        let texts = [answer.text.replace(theirs.as_str(), "ID"), absent.text.replace("00000000", "ID")];
        assert_eq!(texts[0], texts[1]);
    }
    let cookie = site.cookie_of(USER);
    for (method, what) in [(Method::DELETE, ""), (Method::POST, "/suspend")] {
        let request = Request::builder().method(method).uri(format!("/api/v1/sessions/{theirs}{what}"));
        let request = request
            .header(header::HOST, "node1:8787")
            .header(header::ORIGIN, "http://node1:8787")
            .header(header::COOKIE, &cookie);
        assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status(), StatusCode::NOT_FOUND, "{what}");
    }
    let still = site.store.session(theirs).await.unwrap().unwrap();
    assert_eq!((still.state, still.wanted), (crate::domain::State::Starting, None));
}

#[tokio::test]
async fn the_token_has_anybodys_session_suspended_or_ended_and_its_user_is_told_so() {
    let site = Site::open().await;
    for (method, what, wanted) in [(Method::POST, "/suspend", "suspended"), (Method::DELETE, "", "ended")] {
        let theirs = site.start_claimed("bob").await.id;
        let answer = site.ask(method.clone(), &format!("/api/v1/sessions/{theirs}{what}"), "").await;
        assert_eq!((answer.status, &answer.json()["wanted"]), (StatusCode::OK, &json!(wanted)), "{answer:?}");
        let note = site.store.session(theirs).await.unwrap().unwrap().note;
        assert!(note.is_some_and(|note| note.contains("by an administrator")));
        let none = site.ask(method, &format!("/api/v1/sessions/00000000{what}"), "").await;
        assert_eq!(none.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_session_is_renamed_within_bounds() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let path = format!("/api/v1/sessions/{id}");
    let renamed = site.ask(Method::PATCH, &path, r#"{"name": "  Thesis <b> "}"#).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (StatusCode::OK, &json!("Thesis <b>")));
    assert_eq!(site.ask(Method::GET, &path, "").await.json()["name"], "Thesis <b>");
    for body in [
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"name": "a\u{7}b"}),
        json!({"name": 1}),
        json!({"state": "active", "name": "x"}),
        json!({}),
    ] {
        let refused = site.ask(Method::PATCH, &path, &body.to_string()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert_eq!(site.ask(Method::GET, &path, "").await.json()["name"], "Thesis <b>");
    let theirs = site.start("bob").await.id;
    let refused = site.ask(Method::PATCH, &format!("/api/v1/sessions/{theirs}"), r#"{"name": "mine"}"#).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn all_of_ones_own_sessions_are_suspended_and_ended_and_nobody_elses() {
    let site = Site::open().await;
    let (own, other) = (site.start(USER).await.id, site.start(USER).await.id);
    let theirs = site.start("bob").await.id;
    let suspended = site.ask(Method::POST, "/api/v1/sessions/suspend", "").await;
    assert_eq!(suspended.status, StatusCode::OK, "{suspended:?}");
    let suspended = suspended.json();
    let states: Vec<_> =
        suspended["items"].as_array().unwrap().iter().map(|item| (&item["id"], &item["state"])).collect();
    assert_eq!(states, [(&json!(other), &json!("suspended")), (&json!(own), &json!("suspended"))]);
    assert_eq!(site.ask(Method::POST, "/api/v1/sessions/suspend", "").await.json()["items"], json!([]));
    let ended = site.ask(Method::POST, "/api/v1/sessions/end", "").await.json();
    assert_eq!(ended["items"].as_array().unwrap().len(), 2);
    assert_eq!(site.store.session(own).await.unwrap().unwrap().state, crate::domain::State::Ended);
    assert_eq!(site.store.session(theirs).await.unwrap().unwrap().state, crate::domain::State::Starting);
}

#[tokio::test]
async fn a_lost_session_is_resumed_by_its_owner_who_takes_the_risk() {
    let site = Site::open().await;
    let (own, theirs) = (site.start_claimed(USER).await.id, site.start_claimed("bob").await.id);
    site.store.leave(NodeId(1)).await.unwrap();
    site.store.delete_node(NodeId(1)).await.unwrap();
    let path = format!("/api/v1/sessions/{own}/resume");
    let refused = site.ask(Method::POST, &path, "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let detail = refused.json()["detail"].to_string();
    assert!(
        detail.contains("is lost") && detail.contains("still runs there") && detail.contains("may-run-twice"),
        "{detail}"
    );
    assert_eq!(site.ask(Method::POST, &path, "{}").await.status, StatusCode::CONFLICT);
    for body in [r#"{"confirm": "yes"}"#, r#"{"confirm": true}"#, r#"{"confrim": "may-run-twice"}"#] {
        assert_eq!(site.ask(Method::POST, &path, body).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let confirmed = r#"{"confirm": "may-run-twice"}"#;
    assert_eq!(site.ask(Method::POST, &path, confirmed).await.status, StatusCode::OK);
    // The token is an administrator's, and the session is not theirs.
    let path = format!("/api/v1/sessions/{theirs}/resume");
    assert_eq!(site.ask(Method::POST, &path, confirmed).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_log_is_plain_text() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let log = site.ask(Method::GET, &format!("/api/v1/sessions/{id}/log?limit=7"), "").await;
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(log.text, format!("{id}: 7 <lines>\n"));
}

#[tokio::test]
async fn what_a_state_does_not_allow_is_a_conflict() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let answer = site.ask(Method::POST, &format!("/api/v1/sessions/{id}/resume"), "").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.json()["detail"].as_str().unwrap().contains("is starting"), "{answer:?}");
}

#[tokio::test]
async fn while_the_store_is_away_calls_say_when_to_come_back() {
    let site = Site::open().await;
    let cookie = site.cookie();
    site.store.close().await;
    for path in ["/api/v1/sessions", "/api/v1/nodes", "/api/v1/placements", "/api/v1/sessions/00000000"] {
        let answer = site.visit(path, &cookie).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: the cookie still signs in");
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(answer.json()["type"], "urn:problem-type:evenkeel:store-away");
    }
    let launch = site.ask(Method::POST, "/api/v1/sessions", r#"{"kind": "echo"}"#).await;
    assert_eq!((launch.status, launch.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
}

#[tokio::test]
async fn events_tell_everything_and_then_what_changes_until_the_daemon_stops() {
    let site = Site::open().await;
    let session = site.start(USER).await;
    let theirs = site.start("bob").await;
    let request = Request::get("/api/v1/events").header(header::COOKIE, site.cookie());
    let response = site.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let mut seen = String::new();
    let mut read_until = async |what: &str| {
        while !seen.contains(what) {
            let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no {what} in {seen}")).unwrap().unwrap();
            seen.push_str(str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        seen.clone()
    };
    let first = read_until(session.id.as_str()).await;
    assert!(first.contains("event: node\n") && first.contains("event: session\n"), "{first}");
    assert!(site.store.claim(session.id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(session.id, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    site.changes.send_replace(1);
    read_until("\"state\":\"active\"").await;
    site.store.report(session.id, Epoch::FIRST, &Report::Ended).await.unwrap();
    site.changes.send_replace(2);
    let all = read_until("event: session-gone\n").await;
    assert!(!all.contains(theirs.id.as_str()), "others' sessions are not told");
    site.app.stopping.cancel();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn event_streams_are_bounded() {
    let mut site = Site::open().await;
    site.bound_events(1);
    let cookie = site.cookie();
    let open = || Request::get("/api/v1/events").header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
    let first = site.send(open()).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(site.send(open()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(first);
    assert_eq!(site.send(open()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_route_is_described_and_every_described_route_is_there_and_guarded() {
    let site = Site::open().await;
    let description = site.visit("/api/openapi.json", "").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["responses"]["default"].is_object(), "{method} {path} describes its refusals");
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path.replace("{id}", "1").replace("{name}", "mine");
            let request = Request::builder().method(&method).uri(concrete).body(Body::empty()).unwrap();
            assert_eq!(site.send(request).await.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            described.push(format!("{method} {path}"));
        }
    }
    described.sort();
    let expected = [
        "DELETE /api/v1/nodes/{id}",
        "DELETE /api/v1/nodes/{id}/drain",
        "DELETE /api/v1/sessions/{id}",
        "DELETE /api/v1/user-ids/{user}",
        "GET /api/v1/balancers",
        "GET /api/v1/balancers/shadow",
        "GET /api/v1/balancers/{name}/log",
        "GET /api/v1/events",
        "GET /api/v1/kinds",
        "GET /api/v1/nodes",
        "GET /api/v1/nodes/{id}",
        "GET /api/v1/placements",
        "GET /api/v1/placements/{id}",
        "GET /api/v1/placements/{id}/case",
        "GET /api/v1/placements/{id}/shown",
        "GET /api/v1/sessions",
        "GET /api/v1/sessions/{id}",
        "GET /api/v1/sessions/{id}/log",
        "PATCH /api/v1/nodes/{id}",
        "PATCH /api/v1/sessions/{id}",
        "POST /api/v1/nodes/{id}/cordon",
        "POST /api/v1/nodes/{id}/drain",
        "POST /api/v1/nodes/{id}/offline",
        "POST /api/v1/nodes/{id}/online",
        "POST /api/v1/nodes/{id}/uncordon",
        "POST /api/v1/sessions",
        "POST /api/v1/sessions/end",
        "POST /api/v1/sessions/suspend",
        "POST /api/v1/sessions/{id}/resume",
        "POST /api/v1/sessions/{id}/suspend",
        "POST /api/v1/sign-in-codes",
    ];
    assert_eq!(described, expected);
    // Whatever the description refers to is in it.
    let mut references = Vec::new();
    collect_references(&description, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_balancers_of_a_node_are_listed_with_a_file_that_is_refused() {
    let site = Site::open().await;
    let answer = site.ask(Method::GET, "/api/v1/balancers", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = &answer.json()["items"];
    assert_eq!(
        items[0],
        json!({
            "name": "mine", "contract": "1.0.0", "digest": "ff00", "source": "file", "path": "/srv/plugins/mine.wasm", "state": "active",
            "since": "1970-01-01T00:00:00Z", "last_error": null, "warnings": ["it is new"], "decisions": 7, "failures": 1, "p50_us": 40, "p99_us": 90,
        })
    );
    assert_eq!((&items[1]["state"], &items[1]["last_error"]), (&json!("refused"), &json!("it is text")));
    assert_eq!(site.visit("/api/v1/balancers", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_balancer_wrote_is_for_administrators_and_can_be_followed() {
    let site = Site::open().await;
    let path = "/api/v1/balancers/mine/log";
    let page = async |query: &str| site.ask(Method::GET, &format!("{path}{query}"), "").await.json();
    assert_eq!(page("").await, json!({"items": [], "next": null}));
    let line = |message: &str| LogLine { level: LogLevel::Warn, message: message.to_owned() };
    let session = Some("0123abcd".parse().unwrap());
    let question = Question { session, ..synthetic::question(1) };
    site.journal.write("mine", &question, &["a", "b", "c", "d"].map(line));
    let newest = page("?limit=1").await;
    let last = json!({
        "number": 3, "time": "2027-01-15T08:00:00Z", "session": "0123abcd", "level": "warn", "text": "d",
    });
    assert_eq!(newest, json!({"items": [last], "next": null}));
    let following = page("?limit=2&after=0").await;
    assert_eq!((&following["items"][0]["text"], &following["next"]), (&json!("b"), &json!("2")));
    let rest = page("?limit=2&after=2").await;
    assert_eq!((&rest["items"][0]["text"], &rest["next"]), (&json!("d"), &Value::Null));
    assert_eq!(page("?limit=2&after=3").await["items"], json!([]));

    for query in ["?after=x", "?after=-1", "?limit=0"] {
        let answer = site.ask(Method::GET, &format!("{path}{query}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let unknown = site.ask(Method::GET, "/api/v1/balancers/yours/log", "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.json()["detail"], "this node asks no balancer of that name; it has: mine");
    assert_eq!(site.visit(path, &site.cookie()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.visit(path, "").await.status, StatusCode::UNAUTHORIZED);
}
