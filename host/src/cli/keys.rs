//! The cluster key of this node: found, or made where it is the first of its cluster.

use anyhow::bail;

use crate::{
    config::{Config, KeyPlaces, Keys},
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
                bail!(to_be_copied(&other.name, &other.address, places));
            }
            if has_cluster {
                bail!(to_be_put_there(places));
            }
            let made = places.find_or_create(entropy)?;
            tracing::info!(file = %made.path.display(), "a secure-cookie-key has been made; other nodes need a copy of it");
            made
        }
    };
    Ok(found.keys)
}

/// What is to be done where a cluster has a key, and this node has not.
pub(super) fn to_be_copied(name: &str, address: &str, places: &KeyPlaces) -> String {
    format!(
        "this cluster has a secure-cookie-key already, and this node has none: copy it from node {name} ({address}), with \
         mode 0600, to {}",
        files(places, " or ")
    )
}

/// The same where no other node is left that has it.
pub(super) fn to_be_put_there(places: &KeyPlaces) -> String {
    format!(
        "the registry has a cluster, and the secure-cookie-key that it was begun with is in none of the places where this \
         node looks: {}; put it there, or let this node begin a new cluster: evenkeel reset-cluster",
        files(places, ", ")
    )
}

fn files(places: &KeyPlaces, between: &str) -> String {
    places.files().map(|file| file.display().to_string()).collect::<Vec<_>>().join(between)
}
