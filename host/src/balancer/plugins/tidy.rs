//! Letting go the modules that nobody needs any more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use super::Plugins;

/// Names the modules, by their digests, whose decisions are on record with what they were shown; none where that cannot be
/// told at the moment.
pub type OnRecord = Box<dyn Fn() -> BoxFuture<'static, Option<BTreeSet<String>>> + Send + Sync>;

impl Plugins {
    /// Looks every `period` which modules are needed, until stopped. What is not, twice in a row, is let go.
    pub async fn tidy(self: Arc<Self>, on_record: OnRecord, period: Duration, stop: CancellationToken) {
        stop.run_until_cancelled(self.sweep(on_record, period)).await;
    }

    async fn sweep(self: Arc<Self>, on_record: OnRecord, period: Duration) {
        let mut before = BTreeSet::new();
        loop {
            sleep(period).await;
            let Some(mut wanted) = on_record().await else { continue };
            wanted.extend(self.in_force());
            let kept = self.kept.clone();
            let swept = spawn_blocking(move || kept.sweep(wanted, &before)).await;
            before = match swept {
                Ok(Ok(left)) => left,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "modules that nobody needs any more are not removed");
                    BTreeSet::new()
                }
                Err(_) => return,
            };
        }
    }

    /// The modules that may decide in the next moment.
    fn in_force(&self) -> Vec<String> {
        let selected = self.policy.selected();
        let balancers = [Some(&selected.balancer), self.policy.other().map(|other| &other.balancer)];
        balancers.into_iter().flatten().filter_map(|balancer| balancer.digest().map(ToOwned::to_owned)).collect()
    }
}
