//! Nodes as administrators see and change them over REST.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::json;

use crate::{
    domain::NodeId,
    store::{Registration, Store, story::registration},
    web::fixture::{Site, USER},
};

#[tokio::test]
async fn a_node_is_cordoned_drained_and_taken_back() {
    let site = Site::open().await;
    let id = site.start("bob").await.id;
    let nodes = site.ask(Method::GET, "/api/v1/nodes", "").await.json();
    assert_eq!(nodes["items"][0]["name"], "node1");
    assert_eq!(nodes["items"][0]["status"], "online");
    assert_eq!(nodes["items"][0]["cordoned"], false);
    let drained = site.ask(Method::POST, "/api/v1/nodes/1/drain", "").await.json();
    assert_eq!(drained["node"]["cordoned"], true);
    assert_eq!(drained["sessions"][0]["id"], id.as_str());
    let full = site.ask(Method::POST, "/api/v1/sessions", r#"{"kind": "echo"}"#).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.header("retry-after"), "5");
    let back = site.ask(Method::POST, "/api/v1/nodes/1/uncordon", "").await.json();
    assert_eq!(back["cordoned"], false);
    assert_eq!(site.ask(Method::POST, "/api/v1/nodes/1/cordon", "").await.json()["cordoned"], true);
    for path in ["/api/v1/nodes/99/cordon", "/api/v1/nodes/x/drain"] {
        assert_eq!(site.ask(Method::POST, path, "").await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_node_is_named_by_its_id_or_its_name_everywhere() {
    let site = Site::open().await;
    site.store.register(&Registration { address: "7:8787".to_owned(), ..registration("7") }).await.unwrap();
    for (id, name) in [("1", "node1"), ("node1", "node1"), ("2", "7"), ("7", "7")] {
        let node = site.ask(Method::GET, &format!("/api/v1/nodes/{id}"), "").await.json();
        assert_eq!(node["node"]["name"], name, "{id}");
        let path = |action: &str| format!("/api/v1/nodes/{id}{action}");
        for (method, action, body) in [
            (Method::POST, "/cordon", ""),
            (Method::POST, "/drain", ""),
            (Method::DELETE, "/drain", ""),
            (Method::POST, "/offline", ""),
            (Method::POST, "/online", ""),
            (Method::PATCH, "", r#"{"weight": 7}"#),
            (Method::POST, "/uncordon", ""),
        ] {
            let answer = site.ask(method.clone(), &path(action), body).await;
            assert_eq!(answer.status, StatusCode::OK, "{method} {action}: {answer:?}");
        }
    }
    for id in ["99", "nobody", "%2e%2e", "%00"] {
        let answer = site.ask(Method::GET, &format!("/api/v1/nodes/{id}"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
    }
}

#[tokio::test]
async fn a_drain_has_a_deadline_and_says_what_becomes_of_each_session() {
    let site = Site::open().await;
    let id = site.start("bob").await.id;
    let order = r#"{"deadline_seconds": 7200, "end": true}"#;
    let drained = site.ask(Method::POST, "/api/v1/nodes/1/drain", order).await.json();
    let drain = &drained["node"]["drain"];
    assert_eq!((&drain["end"], &drain["maintenance"]), (&json!(true), &json!(false)));
    let time = |name: &str| drain[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("deadline").duration_since(time("since")).as_secs(), 7200);
    assert_eq!(drained["node"]["sessions"], 1);
    assert_eq!(
        (&drained["sessions"][0]["id"], &drained["sessions"][0]["at_deadline"]),
        (&json!(id), &json!("suspended"))
    );
    let lifted = site.ask(Method::DELETE, "/api/v1/nodes/1/drain", "").await.json();
    assert_eq!((&lifted["node"]["drain"], &lifted["node"]["cordoned"]), (&json!(null), &json!(false)));
    assert_eq!(site.ask(Method::DELETE, "/api/v1/nodes/1/drain", "").await.status, StatusCode::CONFLICT);
    for (wrong, field) in [
        (r#"{"deadline_seconds": -1}"#, "/deadline_seconds"),
        (r#"{"deadline_seconds": 99999999999}"#, "/deadline_seconds"),
        (r#"{"end": 1, "deadline_seconds": 1}"#, "/end"),
        (r#"{"end": true}"#, "/end"),
        (r#"{"dedline_seconds": 1}"#, "/dedline_seconds"),
    ] {
        let answer = site.ask(Method::POST, "/api/v1/nodes/1/drain", wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{wrong}");
    }
    assert!(!site.store.nodes().await.unwrap()[0].cordoned, "a wrong order changes nothing");
}

#[tokio::test]
async fn what_is_set_of_a_node_is_shown_as_such_and_wrong_values_are_named() {
    let site = Site::open().await;
    let set = r#"{"weight": 30, "capacity": "unlimited", "labels": {"gpu": "a100", "none": null}}"#;
    let node = site.ask(Method::PATCH, "/api/v1/nodes/1", set).await.json()["node"].clone();
    assert_eq!(
        (&node["weight"], &node["capacity"], &node["labels"]),
        (&json!(30), &json!(null), &json!({"gpu": "a100"}))
    );
    assert_eq!(node["set"], json!({"weight": true, "capacity": true, "labels": ["gpu"]}));
    let unset = r#"{"weight": "unset", "capacity": "unset", "labels": {"gpu": null}}"#;
    let node = site.ask(Method::PATCH, "/api/v1/nodes/1", unset).await.json()["node"].clone();
    assert_eq!(node["set"], json!({"weight": false, "capacity": false, "labels": []}));
    let long = "x".repeat(300);
    for (wrong, field) in [
        (r#"{"weight": 0}"#.to_owned(), "/weight"),
        (r#"{"weight": "heavy"}"#.to_owned(), "/weight"),
        (r#"{"capacity": 4294967295}"#.to_owned(), "/capacity"),
        (r#"{"labels": {"a b": "c"}}"#.to_owned(), "/labels"),
        (r#"{"labels": {"": "c"}}"#.to_owned(), "/labels"),
        (format!(r#"{{"labels": {{"a": "{long}"}}}}"#), "/labels"),
        (r#"{"labels": {"a": "b\u0007"}}"#.to_owned(), "/labels"),
        (r#"{"labels": ["a"]}"#.to_owned(), "/labels"),
        (r#"{"wait": 3}"#.to_owned(), "/wait"),
    ] {
        let answer = site.ask(Method::PATCH, "/api/v1/nodes/1", &wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{wrong}");
    }
    let many: Vec<_> = (0..60).map(|number| format!(r#""{number}": "x""#)).collect();
    let more: Vec<_> = (60..120).map(|number| format!(r#""{number}": "x""#)).collect();
    for (labels, status) in [(many, StatusCode::OK), (more, StatusCode::CONFLICT)] {
        let body = format!(r#"{{"labels": {{{}}}}}"#, labels.join(", "));
        assert_eq!(site.ask(Method::PATCH, "/api/v1/nodes/1", &body).await.status, status);
    }
}

#[tokio::test]
async fn only_a_node_that_is_offline_is_deleted() {
    let site = Site::open().await;
    let id = site.start_claimed(USER).await.id;
    // Nobody has begun to run it: it is placed again.
    site.start(USER).await;
    assert_eq!(site.ask(Method::DELETE, "/api/v1/nodes/1", "").await.status, StatusCode::CONFLICT);
    site.store.leave(NodeId(1)).await.unwrap();
    let deleted = site.ask(Method::DELETE, "/api/v1/nodes/1", "").await.json();
    assert_eq!(deleted, json!({"lost": [id.as_str()]}));
    assert_eq!(site.ask(Method::DELETE, "/api/v1/nodes/1", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nodes_are_changed_by_administrators_only() {
    let site = Site::open().await;
    for (method, action) in [
        (Method::POST, "/cordon"),
        (Method::POST, "/drain"),
        (Method::DELETE, "/drain"),
        (Method::POST, "/offline"),
        (Method::POST, "/online"),
        (Method::POST, "/uncordon"),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ] {
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("/api/v1/nodes/1{action}"))
            .header(header::COOKIE, site.cookie())
            .header("sec-fetch-site", "same-origin")
            .body(Body::empty());
        assert_eq!(site.send(request.unwrap()).await.status(), StatusCode::FORBIDDEN, "{method} {action}");
    }
    let request = Request::patch("/api/v1/nodes/1")
        .header(header::COOKIE, site.cookie())
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"weight": 1}"#));
    assert_eq!(site.send(request.unwrap()).await.status(), StatusCode::FORBIDDEN);
    let node = site.store.nodes().await.unwrap().remove(0);
    assert!(!node.cordoned && node.drain.is_none() && node.weight == 100, "{node:?}");
}
