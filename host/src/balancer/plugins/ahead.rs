//! What the cluster may grow to, and the balancer in force with it.

use super::{Plugins, Source, inspect};

/// What came of trying a module on larger clusters.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Its SHA-256.
    digest: Option<String>,
    pub(super) warning: Option<String>,
}

impl Plugins {
    /// Tries what is in force on larger clusters, once, and warns where it would fail. It goes on deciding whatever comes of
    /// it.
    pub(super) fn look_ahead(&self) {
        let balancer = self.policy.selected().balancer.clone();
        let digest = balancer.digest().map(ToOwned::to_owned);
        let is_done = |ahead: &Option<Ahead>| ahead.as_ref().is_some_and(|ahead| ahead.digest == digest);
        {
            let now = self.lock();
            if !matches!(now.source, Some(Source::File | Source::Kept)) || is_done(&now.ahead) {
                return;
            }
        }
        let warning = inspect::too_large(balancer.as_ref()).map(|(nodes, why)| {
            tracing::warn!(balancer = self.selection.name, nodes, why, "the balancer would fail over a larger cluster");
            format!("it would fail over {nodes} nodes: {why}")
        });
        let mut now = self.lock();
        // It may have been replaced meanwhile.
        if self.policy.selected().balancer.digest() == digest.as_deref() {
            now.ahead = Some(Ahead { digest, warning });
        }
    }
}
