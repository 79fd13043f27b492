//! Where a session goes whose start has failed here.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{NodeId, Session, State, Usage},
    sessions::{
        SessionError, groups,
        placement::{
            Order,
            eligible::{Needs, rule_against, select},
        },
    },
    store::{Move, Report, Snapshot},
};

use super::{Owner, hands::Hand, reports::bounded};

/// The most starts of one placement.
const MOST_STARTS: usize = 3;

/// How often a move may come too late before it goes through the queue, which is always in time.
const MOST_LATE: usize = 8;

/// What is left to be tried.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The best of the candidates that may still take it.
    Candidate(NodeId),
    /// No candidate, but other nodes that have not failed: the balancer decides among them.
    AskAgain,
    /// Nothing.
    Nothing,
}

impl Owner {
    /// Notes the failed start, and has the session started elsewhere or fail.
    pub(super) async fn try_next(self: &Arc<Self>, session: &Session, failure: &str, hand: Hand) {
        let failure = &bounded(failure);
        let id = session.id;
        for late in 0.. {
            let snapshot = self.persist(id, "reading the cluster", || self.store.snapshot()).await;
            let kind = self.kinds.get(&session.kind);
            let kind_labels = kind.map(|kind| kind.labels.clone()).unwrap_or_default();
            let next = next(session, &kind_labels, &snapshot);
            if late == 0 {
                tracing::warn!(session = %id, epoch = %session.epoch, ?next, "start failed: {failure}");
            }
            match next {
                Next::Candidate(to) if late < MOST_LATE => {
                    let next = Move { to, seen: Some(snapshot.revision) };
                    if let Some(moved) = self.start_failed(session, failure, Some(next)).await {
                        drop(hand);
                        return self.tell(&moved, None);
                    }
                    // Others have placed or moved something meanwhile, and that node may be full.
                    let stored = self.persist(id, "reading a session", || self.store.session(id)).await;
                    if !stored.is_some_and(|stored| self.is_ours(session, &stored) && stored.state == State::Starting) {
                        return;
                    }
                }
                Next::Candidate(_) | Next::AskAgain => return self.ask_again(session, failure).await,
                Next::Nothing => return drop(self.start_failed(session, failure, None).await),
            }
        }
    }

    /// A claimed start that left no program, for all that is known because this daemon stopped in between: it is made
    /// again here, but once only, lest it be what stops the daemon.
    pub(super) async fn start_again(self: &Arc<Self>, session: &Session, failure: &str, hand: Hand) {
        if session.pid.is_some() || session.failed_nodes.contains(&self.node) {
            return self.try_next(session, failure, hand).await;
        }
        if let Some(again) = self.start_failed(session, failure, Some(self.node.into())).await {
            drop(hand);
            self.tell(&again, None);
        }
    }

    /// Asks the balancer again. Meanwhile the reservation stays here under the next epoch, in hand so that nobody takes
    /// it up: were this daemon to die now, the next heartbeat would find it.
    async fn ask_again(self: &Arc<Self>, session: &Session, failure: &str) {
        let Some(hand) = self.hands.take(session.id, session.epoch.next()) else { return };
        let Some(held) = self.start_failed(session, failure, Some(self.node.into())).await else { return };
        // They decide nothing but what the balancer makes of them.
        let groups = groups(self.accounts.as_ref(), &held.user).await.unwrap_or_else(|_| held.groups.clone());
        match self.placer.place(Order::Retry { id: held.id, epoch: held.epoch }, groups).await {
            Ok(placed) => {
                self.note_route(&placed.session, &placed.peer);
                self.tell(&placed.session, Some(placed.peer));
            }
            // Ended, or placed by somebody else.
            Err(SessionError::State { .. } | SessionError::Missing(_)) => self.leave_queue(&held, &hand).await,
            Err(error) => {
                let failure = bounded(&format!("{failure}\nno other node was found: {error}"));
                self.report(&held, Report::Failed { failure }).await;
                self.mirror.remove(held.id, held.epoch);
            }
        }
    }

    async fn start_failed(&self, session: &Session, failure: &str, next: Option<Move>) -> Option<Session> {
        let (id, epoch) = (session.id, session.epoch);
        let write = || self.store.start_failed(id, epoch, failure, next);
        let written = self.persist(id, "noting a failed start", write).await;
        self.mirror.remove(id, epoch);
        self.mirror.announce();
        written
    }
}

fn next(session: &Session, kind_labels: &BTreeMap<String, String>, snapshot: &Snapshot) -> Next {
    if session.failed_nodes.len() + 1 >= MOST_STARTS {
        return Next::Nothing;
    }
    let avoid: Vec<NodeId> = session.failed_nodes.iter().copied().chain([session.node]).collect();
    let usage = Usage::of(session.cpus, session.memory);
    let needs = Needs { kind: &session.kind, labels: &session.labels, kind_labels, usage, avoid: &avoid };
    let present = |node: NodeId| {
        let live = snapshot.live.iter().filter(|live| live.node == node);
        live.fold(Usage::default(), |sum, live| sum.and(Usage::of(live.cpus, live.memory)))
    };
    let may_take = |candidate: &&NodeId| {
        let node = snapshot.nodes.iter().find(|node| node.id == **candidate);
        node.is_some_and(|node| rule_against(node, present(node.id), &needs).is_none())
    };
    if let Some(&candidate) = session.candidates.iter().find(may_take) {
        return Next::Candidate(candidate);
    }
    let all = select(snapshot.nodes.iter().map(|node| (node, present(node.id))), &needs);
    if all.eligible.is_empty() { Next::Nothing } else { Next::AskAgain }
}
