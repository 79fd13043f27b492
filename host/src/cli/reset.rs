//! `reset-cluster`: lets the next node define the cluster anew. It asks the store itself, since no daemon should run.

use serde_json::json;

use super::{output, registry};
use crate::{config::Config, store::Reset};

/// Forgets what the first node has laid down.
pub(super) async fn reset(config: &Config, force: bool, as_json: bool) -> anyhow::Result<()> {
    let store = registry::open(config).await?;
    match store.reset_cluster(force).await? {
        Reset::Done if as_json => output::line(json!({ "reset": true })),
        Reset::Done => output::line("the next node to start defines the cluster: its key and its protocol"),
        Reset::Online(nodes) => anyhow::bail!(
            "the cluster was not reset, since these nodes are online: {}; stop them first, or give --force: they then have to \
             fit what the next one defines",
            nodes.join(", ")
        ),
    }
    Ok(())
}
