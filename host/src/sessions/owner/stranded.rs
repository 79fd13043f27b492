//! Starts that nobody has claimed, on nodes that will not: they are placed again.
//!
//! Every node looks for those of all nodes. Whoever is first has placed it; the others then find another epoch.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::Owner;
use crate::{
    domain::{Epoch, Session, SessionId},
    sessions::{SessionError, groups, placement::Order},
};

/// How long after a start for which no node was found another is looked for.
const AGAIN: Duration = Duration::from_secs(15);

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(5);

impl Owner {
    /// Looks for such starts, until stopped. A node that is silent for `node_timeout` claims nothing any more.
    pub(in crate::sessions) async fn run_stranded(self: &Arc<Self>, node_timeout: Duration, stop: &CancellationToken) {
        let look = (node_timeout / 3).min(LOOK);
        let mut tried = HashMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(look)).await.is_some() {
            if stop.run_until_cancelled(self.place_stranded(node_timeout, &mut tried)).await.is_none() {
                return;
            }
        }
    }

    /// Places what is stranded, once. `tried` has those for which no node was found, and when.
    pub(in crate::sessions) async fn place_stranded(
        self: &Arc<Self>,
        node_timeout: Duration,
        tried: &mut HashMap<(SessionId, Epoch), Instant>,
    ) {
        let stranded = match self.store.stranded(node_timeout).await {
            Ok(stranded) => stranded,
            Err(error) => return tracing::debug!("starts that nobody claims cannot be read: {error}"),
        };
        tried.retain(|start, since| {
            since.elapsed() < AGAIN && stranded.iter().any(|session| (session.id, session.epoch) == *start)
        });
        for session in stranded {
            let start = (session.id, session.epoch);
            if !tried.contains_key(&start) && !self.place_again(&session).await {
                tried.insert(start, Instant::now());
            }
        }
    }

    /// Whether a start is placed again, by whomever.
    async fn place_again(self: &Arc<Self>, session: &Session) -> bool {
        let Session { id, epoch, .. } = *session;
        // They decide nothing but what the balancer makes of them.
        let groups = groups(self.accounts.as_ref(), &session.user).await.unwrap_or_else(|_| session.groups.clone());
        match self.placer.place(Order::Retry { id, epoch }, groups).await {
            Ok(placed) => {
                tracing::info!(session = %id, %epoch, node = %session.node, "nobody had claimed it there: placed again");
                self.note_route(&placed.session, &placed.peer);
                self.tell(&placed.session, Some(placed.peer));
                true
            }
            // Claimed after all, ended, or placed by another node.
            Err(SessionError::State { .. } | SessionError::Missing(_)) => true,
            Err(error) => {
                tracing::debug!(session = %id, %epoch, "it waits for a node: {error}");
                false
            }
        }
    }
}
