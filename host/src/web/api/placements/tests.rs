//! Placements as programs and people meet them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use evenkeel_plugin_cases as cases;
use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    balancer::case,
    domain::{NodeId, Session, Shadow, shadow::Outcome},
    sessions::placement::{
        eligible::Rule,
        shown::{Shown, encode},
    },
    store::{ShownBatch, Store},
    web::fixture::{Site, USER},
};

/// Keeps of a session's placement that its balancer was shown `node1`, the node 9 that is gone by now, and one that it did
/// not name, and not the cordoned `node3`.
async fn keep_shown(site: &Site, session: &Session) {
    let node = |name: &str, sessions| cases::Node { name: name.to_owned(), sessions, ..cases::Node::default() };
    let request = cases::Request { username: session.user.clone(), kind: "echo".to_owned(), ..Default::default() };
    let shown = Shown {
        question: case::question(&[node("node1", 2), node("unnamed", 0), node("old", 1)], &request),
        nodes: [NodeId(1), NodeId(4), NodeId(9)].into(),
        excluded: [(Rule::Cordoned, "node3".to_owned()), (Rule::Kind, "node5".to_owned())].into(),
        settings: Arc::new(BTreeMap::from([("scheme".to_owned(), "modulo".to_owned())])),
        order: vec![2, 0],
        scores: Some(vec![-2.0, 0.5, -1.0]),
    };
    let batch = ShownBatch {
        placements: vec![(session.id, session.epoch)],
        digests: Default::default(),
        content: encode([&shown].into_iter()).unwrap(),
    };
    assert!(site.store.keep_shown(&batch, 1 << 20).await.unwrap());
}

#[tokio::test]
async fn a_placement_says_why_a_session_is_where_it_is() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let list = site.ask(Method::GET, &format!("/api/v1/placements?session={id}"), "").await.json();
    let placement = &list["items"][0];
    assert_eq!(placement["session"], id.as_str());
    assert_eq!(placement["reason"], "the only node");
    assert_eq!(placement["duration_us"], 12);
    assert_eq!(placement["candidates"], json!([{"id": 1, "name": "node1"}]));
    let mut one = site.ask(Method::GET, &format!("/api/v1/placements/{}", placement["id"]), "").await.json();
    let object = one.as_object_mut().unwrap();
    assert_eq!(object.remove("nodes"), Some(json!(null)));
    assert_eq!(object.remove("nodes_unknown"), Some(json!("what the balancer was shown is not kept")));
    assert_eq!(&one, placement);
}

#[tokio::test]
async fn a_placement_names_to_its_user_who_was_eligible_and_who_was_excluded_by_which_rule() {
    let site = Site::open().await;
    let session = site.start(USER).await;
    keep_shown(&site, &session).await;
    let placement = site.visit("/api/v1/placements/1", &site.cookie()).await.json();
    assert_eq!(placement["nodes_unknown"], json!(null));
    assert_eq!(
        placement["nodes"],
        json!({
            "eligible": [
                { "node": { "id": 1, "name": "node1" }, "rank": 2, "score": -2.0 },
                { "node": { "id": 4, "name": "unnamed" }, "rank": null, "score": 0.5 },
                { "node": { "id": 9, "name": "old" }, "rank": 1, "score": -1.0 },
            ],
            "excluded": [
                { "name": "node3", "rule": "cordoned", "why": "it is cordoned" },
                { "name": "node5", "rule": "kind", "why": "it does not offer echo" },
            ],
        })
    );
    let theirs = site.start("bob").await;
    keep_shown(&site, &theirs).await;
    assert_eq!(site.visit("/api/v1/placements/2", &site.cookie()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.ask(Method::GET, "/api/v1/placements/2", "").await.json()["nodes"], placement["nodes"]);
}

#[tokio::test]
async fn what_cannot_be_read_of_what_was_shown_leaves_the_rest_of_the_placement() {
    let site = Site::open().await;
    let session = site.start(USER).await;
    let batch =
        ShownBatch { placements: vec![(session.id, session.epoch)], digests: Default::default(), content: vec![200] };
    assert!(site.store.keep_shown(&batch, 100).await.unwrap());
    let answer = site.ask(Method::GET, "/api/v1/placements/1", "").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (StatusCode::OK, &json!("the only node")));
    let unknown = answer.json()["nodes_unknown"].to_string();
    assert!(unknown.contains("format 200"), "{unknown}");
    for what in ["shown", "case"] {
        let answer = site.ask(Method::GET, &format!("/api/v1/placements/1/{what}"), "").await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{what}");
    }
}

#[tokio::test]
async fn administrators_see_all_that_the_balancer_was_shown_and_have_it_as_a_case() {
    let site = Site::open().await;
    let session = site.start(USER).await;
    let [shown, case] = ["shown", "case"].map(|what| format!("/api/v1/placements/1/{what}"));
    for path in [&shown, &case] {
        assert_eq!(site.ask(Method::GET, path, "").await.status, StatusCode::NOT_FOUND, "{path}: it is not kept yet");
    }
    keep_shown(&site, &session).await;
    for path in [&shown, &case, "/api/v1/placements/9/shown", "/api/v1/placements/x/case"] {
        assert_eq!(site.visit(path, &site.cookie()).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = site.ask(Method::GET, &shown, "").await.json();
    assert_eq!((&answer["nodes"][0]["sessions"], &answer["nodes"][0]["capacity"]), (&json!(2), &json!(null)));
    assert_eq!(answer["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(answer["excluded"][0], json!({"name": "node3", "rule": "cordoned", "why": "it is cordoned"}));
    assert_eq!((&answer["settings"]["scheme"], &answer["request"]["username"]), (&json!("modulo"), &json!(USER)));

    let answer = site.ask(Method::GET, &case, "").await;
    assert_eq!(answer.header("content-type"), "application/toml");
    let file = cases::File::from_text(&answer.text).unwrap();
    let expect = file.case[0].expect.as_ref().unwrap();
    assert_eq!((file.balancer.as_str(), file.case[0].nodes.len()), ("sessions", 3));
    assert_eq!(expect.order, Some(vec!["old".to_owned(), "node1".to_owned()]));
    assert_eq!((&expect.scores, expect.reason.as_deref()), (&Some(vec![-2.0, 0.5, -1.0]), Some("the only node")));
}

#[tokio::test]
async fn administrators_alone_see_what_a_second_balancer_would_have_done() {
    let site = Site::open().await;
    let session = site.start(USER).await;
    let shadow = Shadow {
        balancer: "next".to_owned(),
        digest: Some("ab12".to_owned()),
        duration: Duration::from_micros(5),
        outcome: Outcome::Chose { candidates: vec![NodeId(9), NodeId(1)], scores: None, reason: None },
        compared_with: None,
    };
    assert!(site.store.note_shadow(session.id, session.epoch, &shadow, 10).await.unwrap());
    let placement = site.ask(Method::GET, "/api/v1/placements/1", "").await.json();
    let other = json!({"id": 9, "name": null});
    assert_eq!(
        placement["shadow"],
        json!({
            "balancer": "next", "digest": "ab12", "verdict": "different", "scores": null, "reason": null, "duration_us": 5,
            "candidates": [other, {"id": 1, "name": "node1"}],
        })
    );
    assert_eq!(site.visit("/api/v1/placements/1", &site.cookie()).await.json()["shadow"], json!(null));

    let path = "/api/v1/balancers/shadow";
    let sum = site.ask(Method::GET, path, "").await.json();
    assert_eq!((&sum["compared"], &sum["different"], &sum["missed"]), (&json!(1), &json!(1), &json!(null)));
    assert_eq!(sum["shifts"], json!([{"from": {"id": 1, "name": "node1"}, "to": other, "count": 1}]));
    assert_eq!((&sum["real"]["p50_us"], &sum["shadow"]["p99_us"]), (&json!(12), &json!(5)));
    let later = site.ask(Method::GET, &format!("{path}?since=2200-01-01T00:00:00Z"), "").await.json();
    assert_eq!(later["compared"], 0);
    let bad = site.ask(Method::GET, &format!("{path}?since=yesterday"), "").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.visit(path, &site.cookie()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn other_users_see_their_own_placements_only() {
    let site = Site::open().await;
    site.start("bob").await;
    let own = site.start(USER).await.id;
    let list = site.visit("/api/v1/placements", &site.cookie()).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["session"], own.as_str());
    assert_eq!(site.visit("/api/v1/placements/1", &site.cookie()).await.status, StatusCode::NOT_FOUND);
    let all = site.ask(Method::GET, "/api/v1/placements", "").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
}
