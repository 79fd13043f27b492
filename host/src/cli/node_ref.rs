//! A node as the interface refers to it.

use serde::Deserialize;

/// A node that may have been deleted since.
#[derive(Deserialize)]
pub(super) struct NodeRef {
    id: i64,
    name: Option<String>,
}

impl NodeRef {
    /// The store's number for it.
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Its name, or that it is gone.
    pub(super) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("deleted node {}", self.id))
    }
}
