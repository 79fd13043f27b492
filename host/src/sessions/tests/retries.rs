//! Starts that fail.

use crate::{
    domain::{Epoch, NodeId, OverridesChange, State},
    launcher::Exit,
    sessions::fixtures::{Cluster, KIND, eventually, new_session, registration},
    store::Store,
};

#[tokio::test]
async fn a_failed_start_moves_on_to_the_next_candidate_and_is_on_record() {
    let cluster = Cluster::start(3).await;
    cluster.daemons[0].programs.break_down();
    cluster.daemons[1].programs.break_down();
    let session = cluster.daemons[2].sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!(session.node, NodeId(1));
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.node, active.epoch), (NodeId(3), Epoch(3)));
    assert_eq!(active.failed_nodes, [NodeId(1), NodeId(2)]);
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    let attempts: Vec<_> = placements[0].attempts.iter().map(|attempt| (attempt.node, attempt.epoch)).collect();
    assert_eq!(attempts, [(NodeId(1), Epoch(1)), (NodeId(2), Epoch(2))]);
    assert_eq!(placements[0].attempts[0].failure, "/usr/bin/jupyter: No such file or directory");
}

#[tokio::test]
async fn after_three_starts_the_session_fails_with_the_reason() {
    let cluster = Cluster::start(4).await;
    cluster.daemons.iter().for_each(|daemon| daemon.programs.break_down());
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    let failed = cluster.reaches(session.id, State::Failed).await;
    assert_eq!(failed.failure.as_deref(), Some("/usr/bin/jupyter: No such file or directory"));
    assert_eq!(cluster.starts(session.id), 3);
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    assert_eq!(placements[0].attempts.len(), 3);
}

#[tokio::test]
async fn a_program_that_ends_before_it_is_ready_is_tried_elsewhere() {
    let cluster = Cluster::start(2).await;
    cluster.daemons[0].programs.slow_down();
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    cluster.daemons[0].programs.exit(session.id, &Exit::Status(1));
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.node, active.epoch), (NodeId(2), Epoch(2)));
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    assert_eq!(
        placements[0].attempts[0].failure,
        "the program ended before it was ready: exit status 1; the last lines of its log:\nno memory"
    );
}

#[tokio::test]
async fn starts_that_fail_at_once_fill_no_other_node_over_its_capacity() {
    let cluster = Cluster::start(2).await;
    cluster.daemons.iter().for_each(|daemon| daemon.programs.slow_down());
    let (mut here, mut there) = (Vec::new(), 0);
    for number in 0..8 {
        let session = cluster.daemons[0].sessions.start(new_session(&format!("user{number}"))).await.expect("a start");
        match session.node {
            NodeId(1) => here.push(session.id),
            _ => there += 1,
        }
        eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    }
    assert_eq!((here.len(), there), (4, 4));
    let full = OverridesChange { capacity: Some(Some(5)), ..OverridesChange::default() };
    assert!(cluster.store.set_overrides(NodeId(2), &full).await.expect("the store answers"));
    here.iter().for_each(|id| cluster.daemons[0].programs.exit(*id, &Exit::Status(1)));
    let mut moved = 0;
    for id in here {
        eventually("it goes where there is room", async || {
            let row = cluster.row(id).await;
            row.state == State::Failed || row.node == NodeId(2)
        })
        .await;
        moved += usize::from(cluster.row(id).await.node == NodeId(2));
    }
    assert_eq!(moved, 1);
}

#[tokio::test]
async fn where_no_candidate_is_left_the_balancer_is_asked_again_without_the_nodes_that_failed() {
    let cluster = Cluster::start(2).await;
    let sessions = &cluster.daemons[1].sessions;
    cluster.store.set_cordoned(NodeId(2), true).await.expect("the store answers");
    cluster.daemons[0].programs.slow_down();
    let session = sessions.start(new_session("ada")).await.expect("a start");
    assert!(session.candidates.is_empty());
    eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    // A node that could not be chosen before.
    cluster.store.set_cordoned(NodeId(2), false).await.expect("the store answers");
    cluster.daemons[0].programs.exit(session.id, &Exit::Status(1));
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.node, active.epoch, active.failed_nodes), (NodeId(2), Epoch(3), vec![NodeId(1)]));
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    assert_eq!(placements.len(), 2, "both decisions are on record");
    assert_eq!(placements[1].attempts.len(), 1);
    assert_eq!(placements[0].decision.candidates, [NodeId(2)]);
    assert_eq!(cluster.starts(session.id), 2);
}

#[tokio::test]
async fn where_no_other_node_may_take_it_the_session_fails_at_once() {
    let cluster = Cluster::start(1).await;
    cluster.store.register(&registration("other", "vscode")).await.expect("a registration");
    cluster.daemons[0].programs.break_down();
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!(session.kind, KIND);
    cluster.reaches(session.id, State::Failed).await;
    assert_eq!(cluster.starts(session.id), 1);
}
