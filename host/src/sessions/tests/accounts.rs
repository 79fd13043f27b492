//! Sessions belong to accounts, which need not be the same on every node.

use crate::{
    accounts::fakes::FakeAccounts,
    domain::{NodeId, State},
    sessions::fixtures::{Cluster, new_session},
    store::Store,
};

/// Two nodes, of which the first has these accounts.
async fn cluster(first: FakeAccounts) -> Cluster {
    let mut cluster = Cluster::start(2).await;
    cluster.accounts.insert("node1".to_owned(), first);
    cluster.restart(0, async |_| {}).await;
    cluster
}

#[tokio::test]
async fn a_node_where_the_user_id_differs_is_passed_over() {
    let cluster = cluster(FakeAccounts::default().with("ada", 7001, &[])).await;
    assert_eq!(cluster.store.keep_uid("ada", 7002).await.expect("the store answers"), 7002);
    let uid = "on node node1 the account ada has the user id 7001, and elsewhere in the cluster 7002; give it the same \
               on every node, or, where 7002 is of the past, run `evenkeel forget-user-id ada`";
    let session = cluster.daemons[1].sessions.start(new_session("ada")).await.expect("a start");
    let failed = cluster.reaches(session.id, State::Failed).await;
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    assert_eq!(placements[0].attempts[0].failure, uid);
    assert_eq!(placements[0].attempts[0].node, NodeId(1));
    assert!(failed.failure.expect("a reason").starts_with("on node node2 the account ada has the user id "));
    assert_eq!(cluster.starts(session.id), 0, "nothing is started under a wrong id");

    // What the first start finds, holds: here the second node's.
    assert!(cluster.store.forget_uid("ada").await.expect("the store answers"));
    cluster.store.set_cordoned(NodeId(1), true).await.expect("the store answers");
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.store.set_cordoned(NodeId(1), false).await.expect("the store answers");
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!(session.node, NodeId(1), "the one with fewer sessions");
    assert_eq!(cluster.reaches(session.id, State::Active).await.node, NodeId(2));
}

#[tokio::test]
async fn a_node_without_the_account_or_where_it_may_not_log_in_is_passed_over() {
    let accounts = FakeAccounts::default().with("bob", 7001, &[]).with("mail", 8, &[]);
    let cluster = cluster(accounts.without_shell("bob")).await;
    for (user, problem) in [
        ("ada", "node node1 has no account ada"),
        ("bob", "on node node1: bob may not log in on this node: the account's shell is /usr/sbin/nologin"),
        ("mail", "on node node1: mail has the user id 8, and those below 1000 have no sessions (auth-minimum-user-id)"),
    ] {
        let session = cluster.daemons[0].sessions.start(new_session(user)).await.expect("a start");
        assert_eq!(session.node, NodeId(1), "{user}");
        assert_eq!(cluster.reaches(session.id, State::Active).await.node, NodeId(2), "{user}");
        let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
        assert_eq!(placements[0].attempts[0].failure, problem);
        cluster.daemons[0].sessions.end(session.id).await.expect("an end");
        cluster.reaches(session.id, State::Ended).await;
    }
}
