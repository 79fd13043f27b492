//! Records of placements. Decision and attempts are JSON: only whole records are asked for.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Columns, Fields, to_json};
use crate::{
    domain::{Decision, Epoch, InsteadOf, NodeId, Placement, PlacementId},
    store::StoreError,
};

/// A decision as the column `decision` has it. Grows by optional fields only.
#[derive(Serialize, Deserialize)]
struct Record<'d> {
    balancer: Cow<'d, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Cow<'d, str>>,
    candidates: Cow<'d, [NodeId]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scores: Option<Cow<'d, [f64]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'d, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback: Option<Cow<'d, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instead_of: Option<Cow<'d, InsteadOf>>,
    eligible: u32,
    nanoseconds: u64,
}

impl<'d> From<&'d Decision> for Record<'d> {
    fn from(decision: &'d Decision) -> Self {
        Self {
            balancer: Cow::Borrowed(&decision.balancer),
            digest: decision.digest.as_deref().map(Cow::Borrowed),
            candidates: Cow::Borrowed(&decision.candidates),
            scores: decision.scores.as_deref().map(Cow::Borrowed),
            reason: decision.reason.as_deref().map(Cow::Borrowed),
            fallback: decision.fallback.as_deref().map(Cow::Borrowed),
            instead_of: decision.instead_of.as_ref().map(Cow::Borrowed),
            eligible: decision.eligible,
            nanoseconds: u64::try_from(decision.duration.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

impl From<Record<'_>> for Decision {
    fn from(record: Record<'_>) -> Self {
        Self {
            balancer: record.balancer.into_owned(),
            digest: record.digest.map(Cow::into_owned),
            candidates: record.candidates.into_owned(),
            scores: record.scores.map(Cow::into_owned),
            reason: record.reason.map(Cow::into_owned),
            fallback: record.fallback.map(Cow::into_owned),
            instead_of: record.instead_of.map(Cow::into_owned),
            eligible: record.eligible,
            duration: Duration::from_nanos(record.nanoseconds),
        }
    }
}

/// What a placement is read from, beside what the shadow said.
macro_rules! placement_columns {
    () => {
        r#"placements.id, placements.session, placements."user", placements.epoch, placements.decision, placements.attempts,
           placements.decided"#
    };
}
pub(in crate::store) use placement_columns;

/// A row of `placements` with what the shadow said as `shadow`.
pub(in crate::store) fn placement(row: &impl Columns) -> Result<Placement, StoreError> {
    let fields = Fields::new("placements", row);
    Ok(Placement {
        id: PlacementId(fields.get("id")?),
        session: fields.parsed("session")?,
        user: fields.get("user")?,
        epoch: Epoch(fields.get("epoch")?),
        decision: fields.json::<Record<'_>>("decision")?.into(),
        attempts: fields.json("attempts")?,
        decided: fields.time("decided")?,
        shadow: fields.optional_json("shadow")?,
    })
}

/// A decision as the column has it.
pub(in crate::store) fn decision_json(operation: &'static str, decision: &Decision) -> Result<String, StoreError> {
    to_json(operation, &Record::from(decision))
}
