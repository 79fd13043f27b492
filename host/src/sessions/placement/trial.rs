//! A question about the present cluster that is put on trial only.

use std::{collections::BTreeMap, sync::Arc};

use super::{eligible::Needs, view::View};
use crate::{
    balancer::{Question, Request},
    domain::{NodeStatus, Usage},
    store::Snapshot,
};

/// What a policy would be asked for somebody's session of a kind that an online node offers; none where no node may take
/// one.
pub fn question(snapshot: Snapshot) -> Option<Question> {
    let online = snapshot.nodes.iter().find(|node| node.status == NodeStatus::Online && !node.kinds.is_empty())?;
    let kind = online.kinds.first()?.clone();
    let now = u64::try_from(snapshot.now.as_millisecond()).unwrap_or_default();
    let mut view = View::new(snapshot);
    let labels = BTreeMap::new();
    let usage = Usage::of(0.0, 0);
    let group = view.group(&Needs { kind: &kind, labels: &labels, kind_labels: &labels, usage, avoid: &[] });
    let username = "trial".to_owned();
    let request = Request { groups: vec![username.clone()], username, kind, now, ..Request::default() };
    let question = Question {
        user_sessions: view.user_sessions(&request.username, &group),
        nodes: Arc::clone(&group.columns),
        request,
        session: None,
    };
    (question.nodes.count() > 0).then_some(question)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::question;
    use crate::{
        sessions::fixtures::registration,
        store::{Store, sqlite::SqliteStore},
    };

    #[tokio::test]
    async fn a_trial_is_about_the_nodes_that_may_take_a_session() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(dir.path(), Duration::from_secs(600)).await.expect("a store");
        assert!(question(store.snapshot().await.expect("a snapshot")).is_none());
        let mut ids = Vec::new();
        for name in ["a", "b"] {
            ids.push(store.register(&registration(name, "echo")).await.expect("it registers"));
        }
        store.set_cordoned(ids[0], true).await.expect("it is cordoned");
        let question = question(store.snapshot().await.expect("a snapshot")).expect("a question");
        assert_eq!(question.nodes.names[..], ["b".to_owned()]);
        assert_eq!(question.user_sessions[..], [0]);
    }
}
