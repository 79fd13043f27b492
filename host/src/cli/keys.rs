//! The cluster key of this node: found, or made where it is the first of its cluster.

use anyhow::bail;

use crate::{
    config::{Config, Keys},
    domain::{Entropy, NodeStatus},
    store::Store,
};

/// The cluster key. A node makes one only where it is the first: with a key of its own it would stay out of the cluster.
pub(super) async fn of_node(config: &Config, store: &dyn Store, entropy: &dyn Entropy) -> anyhow::Result<Keys> {
    let places = &config.key_places;
    let found = match places.find()? {
        Some(found) => found,
        None => {
            let has_cluster = store.charter().await?.is_some();
            let nodes = store.nodes().await?;
            let mut others: Vec<_> = nodes.iter().filter(|node| node.name != config.node_name).collect();
            others.sort_by_key(|node| node.status != NodeStatus::Online);
            if let Some(other) = others.first().filter(|_| has_cluster) {
                let files: Vec<_> = places.files().map(|file| file.display().to_string()).collect();
                bail!(
                    "this cluster has a secure-cookie-key already, and this node has none: copy it from node {} ({}), \
                     with mode 0600, to {}",
                    other.name,
                    other.address,
                    files.join(" or ")
                );
            }
            if has_cluster {
                bail!(
                    "the registry has a cluster, and the secure-cookie-key that it was begun with is in none of the places \
                     where this node looks: {}; put it there, or let this node begin a new cluster: evenkeel reset-cluster",
                    places.files().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
                );
            }
            let made = places.find_or_create(entropy)?;
            tracing::info!(file = %made.path.display(), "a secure-cookie-key has been made; other nodes need a copy of it");
            made
        }
    };
    Ok(found.keys)
}
