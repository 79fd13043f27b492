//! Placements: why each session is where it is.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::sessions::{NodeNames, NodeRef, without_log};
use crate::{
    balancer::Request,
    domain::{Decision, InsteadOf, Placement, PlacementId, Shadow, shadow::Outcome},
    sessions::placement::eligible::Rule,
    web::identity::Viewer,
};

pub(in crate::web) mod case;
pub(in crate::web) mod get;
mod kept;
pub(in crate::web) mod list;
pub(in crate::web) mod shown;
#[cfg(test)]
mod tests;

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
    /// The balancer that should have answered, where another did; null where it did itself.
    pub instead_of: Option<InsteadOfView>,
    /// How many nodes it could choose from.
    pub eligible: u32,
    /// How long it took, microseconds.
    pub duration_us: u64,
    /// The starts that failed, in order.
    pub attempts: Vec<AttemptView>,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided: Timestamp,
    /// What the balancer that is asked beside would have decided (`balancer-shadow`); null where it was not asked, has not
    /// answered yet, and for users who are no administrators.
    pub shadow: Option<ShadowView>,
}

/// The balancer that should have answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InsteadOf)]
pub(crate) struct InsteadOfView {
    /// Its name.
    pub balancer: String,
    /// The SHA-256 of its module; null where it is not a module.
    pub digest: Option<String>,
    /// How long it took to fail, microseconds; null where it was not asked.
    pub duration_us: Option<u64>,
}

impl From<InsteadOf> for InsteadOfView {
    fn from(InsteadOf { balancer, digest, duration }: InsteadOf) -> Self {
        Self { balancer, digest, duration_us: duration.map(micros) }
    }
}

/// What a second balancer would have decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shadow)]
pub(crate) struct ShadowView {
    /// Its name.
    pub balancer: String,
    /// The SHA-256 of its module; null where it is not a module.
    pub digest: Option<String>,
    /// `same` (it prefers the same node), `different`, `declined` or `failed`.
    #[schema(example = "same")]
    pub verdict: &'static str,
    /// The nodes, best first; empty where it gave no order.
    pub candidates: Vec<NodeRef>,
    /// Their scores, where it gave any.
    pub scores: Option<Vec<f64>>,
    /// The decision in its own sentence; why it declined or failed.
    pub reason: Option<String>,
    /// How long it took, microseconds.
    pub duration_us: u64,
}

impl ShadowView {
    fn new(shadow: Shadow, decision: &Decision, nodes: &NodeNames) -> Self {
        let verdict = shadow.verdict(decision).as_str();
        let (candidates, scores, reason) = match shadow.outcome {
            Outcome::Chose { candidates, scores, reason } => (candidates, scores, reason),
            Outcome::Declined(why) | Outcome::Failed(why) => (Vec::new(), None, Some(why)),
        };
        Self {
            balancer: shadow.balancer,
            digest: shadow.digest,
            verdict,
            candidates: candidates.into_iter().map(|id| nodes.refer(id)).collect(),
            scores,
            reason,
            duration_us: micros(shadow.duration),
        }
    }
}

/// A node that a balancer could not choose.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExcludedNode {
    /// Its name.
    pub name: String,
    /// `offline`, `cordoned`, `kind`, `required`, `labels`, `full`, `cpus`, `memory` or `failed`.
    #[schema(value_type = String, example = "cordoned")]
    pub rule: Rule,
    /// The rule as a sentence about the node.
    pub why: String,
}

impl ExcludedNode {
    /// The nodes that were excluded, each by its rule, from what was asked.
    fn all(excluded: &[(Rule, String)], request: &Request) -> Vec<Self> {
        let one = |(rule, name): &(Rule, String)| Self {
            name: name.clone(),
            rule: *rule,
            why: rule.sentence(&request.kind, &request.own_labels(), &request.kind_labels),
        };
        excluded.iter().map(one).collect()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
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
    fn new(placement: Placement, nodes: &NodeNames, by: &Viewer) -> Self {
        let decision = placement.decision;
        let shadow = placement.shadow.filter(|_| by.sees_all);
        let shadow = shadow.map(|shadow| ShadowView::new(shadow, &decision, nodes));
        let is_own = by.identity.user == placement.user;
        let attempt = |attempt: crate::domain::Attempt| AttemptView {
            node: nodes.refer(attempt.node),
            epoch: attempt.epoch.0,
            failure: if is_own { attempt.failure } else { without_log(&attempt.failure) },
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
            instead_of: decision.instead_of.map(InsteadOfView::from),
            eligible: decision.eligible,
            duration_us: micros(decision.duration),
            attempts: placement.attempts.into_iter().map(attempt).collect(),
            decided: placement.decided,
            shadow,
        }
    }
}
