//! What a node states of a browser's request that it forwards to the session's node. The integrity of the request's
//! headers and body beyond the statement is the transport's.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::domain::{Epoch, SessionId};

/// The purpose that the key of forwarded requests is derived for.
pub const PURPOSE: &str = "peer-hop";

/// On the answer, in [`super::names::HOP`]: the session does not run here under that epoch; the routes are to be read
/// again. A session's own 421 lacks it.
pub const MISDIRECTED: &str = "misdirected";

/// The statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The session that is meant.
    pub session: SessionId,
    /// The start of it that is meant.
    pub epoch: Epoch,
    /// Who is signed in.
    pub user: String,
    /// Where the browser connects from.
    pub client: SocketAddr,
    /// Whether the browser's connection to the forwarding node was TLS.
    pub secure: bool,
}
