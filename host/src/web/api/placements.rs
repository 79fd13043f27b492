//! Placements: why each session is where it is.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::sessions::{NodeNames, NodeRef};
use crate::domain::{Placement, PlacementId};

pub(in crate::web) mod get;
pub(in crate::web) mod list;

/// How a session came to its node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Placement)]
pub(crate) struct PlacementView {
    /// The store's number for it.
    #[schema(value_type = i64)]
    pub id: PlacementId,
    /// The session's id.
    pub session: String,
    /// The user it belongs to.
    pub user: String,
    /// Which start of the session it was made for.
    pub epoch: i64,
    /// The balancer whose answer holds.
    pub balancer: String,
    /// The SHA-256 of its module; null where it is not a module.
    pub digest: Option<String>,
    /// The nodes to try, best first.
    pub candidates: Vec<NodeRef>,
    /// The candidates' scores, where the balancer gave any.
    pub scores: Option<Vec<f64>>,
    /// The decision in the balancer's own sentence.
    pub reason: Option<String>,
    /// Why another balancer answered than the one that should have.
    pub fallback: Option<String>,
    /// How many nodes it could choose from.
    pub eligible: u32,
    /// How long it took, microseconds.
    pub duration_us: u64,
    /// The starts that failed, in order.
    pub attempts: Vec<AttemptView>,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided: Timestamp,
}

/// A start that failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptView {
    /// Where.
    pub node: NodeRef,
    /// Under which epoch.
    pub epoch: i64,
    /// Why.
    pub failure: String,
}

impl PlacementView {
    fn new(placement: Placement, nodes: &NodeNames) -> Self {
        let decision = placement.decision;
        let attempt = |attempt: crate::domain::Attempt| AttemptView {
            node: nodes.refer(attempt.node),
            epoch: attempt.epoch.0,
            failure: attempt.failure,
        };
        Self {
            id: placement.id,
            session: placement.session.to_string(),
            user: placement.user,
            epoch: placement.epoch.0,
            balancer: decision.balancer,
            digest: decision.digest,
            candidates: decision.candidates.into_iter().map(|id| nodes.refer(id)).collect(),
            scores: decision.scores,
            reason: decision.reason,
            fallback: decision.fallback,
            eligible: decision.eligible,
            duration_us: u64::try_from(decision.duration.as_micros()).unwrap_or(u64::MAX),
            attempts: placement.attempts.into_iter().map(attempt).collect(),
            decided: placement.decided,
        }
    }
}
