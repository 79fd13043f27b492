//! Where every live session is, in memory.

use crate::{
    domain::SessionId,
    store::{Route, StoreError},
};

/// The routes of all live sessions, as of the last poll. Keeps answering while the store is away.
#[derive(Debug)]
pub struct Mirror {}

impl Mirror {
    /// Where a session is, from memory.
    pub fn route(&self, _id: SessionId) -> Option<Route> {
        todo!()
    }

    /// Where a session is, from the store: for a session that memory does not have or that its node disowned. Reads that
    /// are asked for at once are one read, and at most some per second are made.
    pub async fn refresh(&self, _id: SessionId) -> Result<Option<Route>, StoreError> {
        todo!()
    }
}
