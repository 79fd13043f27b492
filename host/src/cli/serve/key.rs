//! The cluster's key: a new cluster's is made, that of a cluster which exists is copied to each node by its administrator.

use anyhow::{Context as _, bail};

use crate::{
    config::{ClusterKey, Config},
    domain::{Entropy, Node, NodeStatus},
    store::Store,
};

/// The key of this node. Where the store has a cluster already, a node that has no key makes none: it would only be kept out.
pub(super) async fn of_cluster(
    config: &Config,
    store: &dyn Store,
    entropy: &dyn Entropy,
) -> anyhow::Result<ClusterKey> {
    let file = &config.key_file;
    let exists = file.try_exists().with_context(|| file.display().to_string())?;
    if !exists && store.charter().await?.is_some() {
        bail!(
            "secure cookie key {}: there is no such file, and this registry has a cluster already: {}; where that cluster \
             is gone, `evenkeel reset-cluster` lets this node begin a new one",
            file.display(),
            whence(&store.nodes().await?)
        );
    }
    Ok(ClusterKey::load_or_create(file, entropy)?)
}

/// From which node to copy it.
fn whence(nodes: &[Node]) -> String {
    let online = nodes.iter().find(|node| node.status == NodeStatus::Online);
    let member = || nodes.iter().find(|node| node.status.exclusion().is_none());
    match online.or_else(member) {
        Some(node) => format!("copy the file from node {} ({})", node.name, node.address),
        None => "copy the file from where that was kept, since it has no node any more".to_owned(),
    }
}
