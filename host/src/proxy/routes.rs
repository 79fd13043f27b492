//! What the proxy asks about where sessions are, as a trait, so that it can be tested without a store.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    domain::{SessionId, State},
    sessions::Mirror,
    store::{Route, Store, StoreError},
};

/// Where sessions are.
#[async_trait]
pub trait Routes: Send + Sync {
    /// From memory.
    fn route(&self, id: SessionId) -> Option<Route>;

    /// From the store. It bounds the reads itself: the proxy asks for every session that memory does not have.
    async fn refresh(&self, id: SessionId) -> Result<Option<Route>, StoreError>;

    /// Whose a session is and in which state, from the store: of one that has no route, to say why.
    async fn whose(&self, id: SessionId) -> Result<Option<(String, State)>, StoreError>;
}

/// The mirror, and the store for sessions that are not live.
#[derive(Debug)]
pub struct Registry {
    mirror: Arc<Mirror>,
    store: Arc<dyn Store>,
}

impl Registry {
    /// The two together.
    pub fn new(mirror: Arc<Mirror>, store: Arc<dyn Store>) -> Self {
        Self { mirror, store }
    }
}

#[async_trait]
impl Routes for Registry {
    fn route(&self, id: SessionId) -> Option<Route> {
        self.mirror.route(id)
    }

    async fn refresh(&self, id: SessionId) -> Result<Option<Route>, StoreError> {
        self.mirror.refresh(id).await
    }

    async fn whose(&self, id: SessionId) -> Result<Option<(String, State)>, StoreError> {
        Ok(self.store.session(id).await?.map(|session| (session.user, session.state)))
    }
}
