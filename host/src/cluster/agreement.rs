//! Says in the log where the nodes of the cluster place by different balancers.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::condition::{Change, Condition};
use crate::{
    domain::{Node, disagreement},
    store::Store,
};

/// How often the nodes are looked at. A file reaches them one after the other, so only what is so at two looks is told.
const PERIOD: Duration = Duration::from_secs(5);

/// Looks at the nodes until stopped.
pub async fn watch(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Looks::default();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        // While the store is away, whoever needs it says so.
        let Some(Ok(nodes)) = stop.run_until_cancelled(store.nodes()).await else { continue };
        match looks.next(disagreement(nodes.iter().filter_map(Node::vote))) {
            Change::Failed(why) => tracing::warn!("{why}; is the plugins directory the same on all of them?"),
            Change::Recovered => tracing::info!("all nodes place by the same balancer again"),
            Change::None => {}
        }
    }
}

/// What the looks have shown.
#[derive(Debug, Default)]
struct Looks {
    last: Option<String>,
    condition: Condition,
}

impl Looks {
    /// Takes in how the nodes are now, and says what is new.
    fn next(&mut self, now: Option<String>) -> Change<'_> {
        let lasts = now == self.last;
        self.last = now;
        if lasts { self.condition.now(self.last.as_ref()) } else { Change::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_told_and_only_once() {
        let mut looks = Looks::default();
        let apart = || Some("a by ff; b by ee".to_owned());
        assert_eq!(looks.next(None), Change::None);
        assert_eq!(looks.next(apart()), Change::None, "a file may be on its way");
        assert_eq!(looks.next(apart()), Change::Failed("a by ff; b by ee"));
        assert_eq!(looks.next(apart()), Change::None);
        assert_eq!(looks.next(None), Change::None);
        assert_eq!(looks.next(None), Change::Recovered);
        assert_eq!(looks.next(apart()), Change::None);
        assert_eq!(looks.next(Some("c by ff; b by ee".to_owned())), Change::None, "it changes still");
    }
}
