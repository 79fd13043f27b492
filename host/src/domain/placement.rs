//! The record of one placement.

use std::time::Duration;

use jiff::Timestamp;

use super::{Epoch, NodeId, PlacementId, SessionId, Shadow};

/// How a session came to its node, as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The store's number for it.
    pub id: PlacementId,
    /// The session that was placed.
    pub session: SessionId,
    /// The user it belongs to.
    pub user: String,
    /// The epoch that it was reserved under.
    pub epoch: Epoch,
    /// The decision.
    pub decision: Decision,
    /// What became of each start, in order.
    pub attempts: Vec<Attempt>,
    /// When it was decided, by the store's clock.
    pub decided: Timestamp,
    /// What the balancer that is asked beside would have decided, where it was asked and has answered.
    pub shadow: Option<Shadow>,
}

/// What was decided and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The name of the balancer whose answer holds.
    pub balancer: String,
    /// The SHA-256 of its module, hexadecimal; none where it is not a module.
    pub digest: Option<String>,
    /// The nodes to try, best first, at most 16.
    pub candidates: Vec<NodeId>,
    /// The scores of `candidates`, where the balancer gave any.
    pub scores: Option<Vec<f64>>,
    /// The decision in the balancer's own sentence.
    pub reason: Option<String>,
    /// Why the balancer that should have answered did not, where another answered in its place.
    pub fallback: Option<String>,
    /// That balancer.
    pub instead_of: Option<InsteadOf>,
    /// How many nodes it could choose from.
    pub eligible: u32,
    /// How long it took.
    pub duration: Duration,
}

/// The balancer that should have answered, where another answered in its place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InsteadOf {
    /// Its name.
    pub balancer: String,
    /// The SHA-256 of its module, hexadecimal; none where it is not a module.
    pub digest: Option<String>,
    /// How long it took to fail; none where it was not asked.
    pub duration: Option<Duration>,
}

/// One start of a placed session.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// Where.
    pub node: NodeId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Why it failed.
    pub failure: String,
}
