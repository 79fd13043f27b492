//! What members of `admin-group` see of others, and what stays closed to them.

use http::{Method, StatusCode};

use crate::{
    domain::{Epoch, NodeId},
    store::{Report, Store as _},
    web::fixture::{Answer, Site, USER},
};

const HERE: &str = "http://node1:8787";

/// `bob` is in `admin-group`; `alice`, whose the sessions are, is not.
const OPERATOR: &str = "bob";

async fn api(site: &Site, user: &str, path: &str) -> Answer {
    use axum::body::Body;
    let request = http::Request::get(path).header("cookie", site.cookie_of(user)).body(Body::empty()).unwrap();
    Answer::read(site.send(request).await).await
}

fn users(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["user"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_member_of_the_admin_group_sees_everybodys_sessions_and_placements() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    assert_eq!(users(&api(&site, OPERATOR, "/api/v1/sessions").await), [""; 0], "their own, where nobody is named");
    for path in ["/api/v1/sessions?user=*", "/api/v1/sessions?user=alice", "/api/v1/placements"] {
        assert_eq!(users(&api(&site, OPERATOR, path).await), [USER], "{path}");
    }
    assert_eq!(api(&site, OPERATOR, &format!("/api/v1/sessions/{id}")).await.status, StatusCode::OK);
    let cookie = site.cookie_of(OPERATOR);
    assert!(site.visit("/", &cookie).await.text.contains("href=\"/everybody\""));
    let page = site.visit("/everybody", &cookie).await;
    assert!(page.status == StatusCode::OK && page.text.contains(&id.to_string()), "{page:?}");
    assert!(!page.text.contains(&format!("/s/{id}")), "it shows, it does not enter: {}", page.text);
}

#[tokio::test]
async fn nobody_else_sees_what_is_not_theirs() {
    let site = Site::open().await;
    let id = site.start(OPERATOR).await.id;
    for path in ["/api/v1/sessions?user=*", "/api/v1/sessions?user=bob"] {
        assert_eq!(api(&site, USER, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(users(&api(&site, USER, "/api/v1/sessions?user=alice").await), [""; 0]);
    assert_eq!(users(&api(&site, USER, "/api/v1/placements").await), [""; 0]);
    let theirs = api(&site, USER, &format!("/api/v1/sessions/{id}")).await;
    let absent = api(&site, USER, "/api/v1/sessions/00000000").await;
    assert_eq!((theirs.status, absent.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(theirs.text.replace(id.as_str(), "ID"), absent.text.replace("00000000", "ID"));
    let cookie = site.cookie_of(USER);
    assert!(!site.visit("/", &cookie).await.text.contains("/everybody"));
    assert_eq!(site.visit("/everybody", &cookie).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.visit("/everybody", "").await.header("location"), "/sign-in?next=/everybody");
}

#[tokio::test]
async fn to_see_is_not_to_enter_to_change_or_to_read_the_log() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let cookie = site.cookie_of(OPERATOR);
    assert_eq!(api(&site, OPERATOR, &format!("/api/v1/sessions/{id}/log")).await.status, StatusCode::NOT_FOUND);
    for change in ["suspend", "resume", "end"] {
        let answer = site.submit(&format!("/sessions/{id}/{change}"), &cookie, HERE, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{change}");
    }
    assert_eq!(site.visit(&format!("/sessions/{id}/join"), &cookie).await.status, StatusCode::NOT_FOUND);
    for path in ["/api/v1/sign-in-codes", "/api/v1/nodes/1/cordon"] {
        assert_eq!(site.submit(path, &cookie, HERE, "").await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(site.ask(Method::GET, "/api/v1/sessions?user=*", "").await.status, StatusCode::OK, "the token sees all");
}

#[tokio::test]
async fn the_last_lines_of_a_failed_sessions_log_are_its_owners_alone() {
    let site = Site::open().await;
    let id = site.start(USER).await.id;
    let failure = "exit status 1; the last lines of its log:\nopened with the key 1234".to_owned();
    assert!(site.store.claim(id, Epoch::FIRST, NodeId(1)).await.unwrap());
    assert!(site.store.report(id, Epoch::FIRST, &Report::Failed { failure }).await.unwrap().is_some());
    for path in [format!("/api/v1/sessions/{id}"), "/api/v1/sessions?user=*&state=failed".to_owned()] {
        let seen = api(&site, OPERATOR, &path).await.text;
        assert!(seen.contains("exit status 1") && !seen.contains("1234"), "{path}: {seen}");
    }
    let own = api(&site, USER, &format!("/api/v1/sessions/{id}")).await.text;
    assert!(own.contains("1234"), "{own}");
}
