//! `why`.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::bail;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Daemon, node_ref::NodeRef, output};
use crate::domain::SessionId;

#[derive(Deserialize)]
struct Placement {
    id: i64,
    epoch: i64,
    balancer: String,
    digest: Option<String>,
    candidates: Vec<NodeRef>,
    scores: Option<Vec<f64>>,
    reason: Option<String>,
    fallback: Option<String>,
    instead_of: Option<InsteadOf>,
    eligible: u32,
    duration_us: u64,
    attempts: Vec<Attempt>,
    decided: String,
    shadow: Option<Shadow>,
}

/// The balancer that should have answered.
#[derive(Deserialize)]
struct InsteadOf {
    balancer: String,
    digest: Option<String>,
    duration_us: Option<u64>,
}

#[derive(Deserialize)]
struct Shadow {
    balancer: String,
    verdict: String,
    candidates: Vec<NodeRef>,
    reason: Option<String>,
}

/// What the balancer was shown.
#[derive(Deserialize)]
struct Shown {
    excluded: Vec<Excluded>,
}

#[derive(Deserialize)]
struct Excluded {
    name: String,
    why: String,
}

#[derive(Deserialize)]
struct Attempt {
    node: NodeRef,
    failure: String,
}

/// Names that are listed of the nodes that one rule excludes.
const NAMES: usize = 10;

/// Prints every placement of a session, newest first.
pub(super) async fn print(daemon: &Daemon, session: SessionId, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let mut placements: Vec<Value> = daemon.list(&target(session)).await?;
        for placement in &mut placements {
            placement["shown"] = daemon.get(&shown_of(&placement["id"])).await.unwrap_or_default();
        }
        output::line(json!({ "placements": placements }));
        return Ok(());
    }
    let mut texts = Vec::new();
    for placement in placements(daemon, session).await? {
        let shown: anyhow::Result<Shown> = daemon.get(&shown_of(placement.id)).await;
        texts.push(render(&placement) + &excluded(&shown));
    }
    output::line(texts.join("\n\n"));
    Ok(())
}

/// Prints a decision as a file of one case.
pub(super) async fn case(daemon: &Daemon, session: SessionId, epoch: Option<i64>) -> anyhow::Result<()> {
    let placements = placements(daemon, session).await?;
    let Some(placement) = placements.iter().find(|placement| epoch.is_none_or(|epoch| placement.epoch == epoch)) else {
        bail!("session {session} has no start {}", epoch.unwrap_or_default());
    };
    let text = daemon.ask(Method::GET, &format!("/api/v1/placements/{}/case", placement.id)).await?;
    output::line(String::from_utf8_lossy(&text).trim_end());
    Ok(())
}

fn target(session: SessionId) -> String {
    format!("/api/v1/placements?session={session}")
}

fn shown_of(placement: impl std::fmt::Display) -> String {
    format!("/api/v1/placements/{placement}/shown")
}

async fn placements(daemon: &Daemon, session: SessionId) -> anyhow::Result<Vec<Placement>> {
    let placements: Vec<Placement> = daemon.list(&target(session)).await?;
    if placements.is_empty() {
        bail!("there is no record of session {session}");
    }
    Ok(placements)
}

/// The nodes that were excluded, by rule; or why nobody can tell.
fn excluded(shown: &anyhow::Result<Shown>) -> String {
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => return format!("\nExcluded: unknown: {error:#}"),
    };
    let mut rules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &shown.excluded {
        rules.entry(&node.why).or_default().push(&node.name);
    }
    rules.iter().fold(String::new(), |mut text, (why, names)| {
        let more = match names.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = names[..names.len().min(NAMES)].join(", ");
        let _ = write!(text, "\nExcluded: {names}{more}: {why}");
        text
    })
}

/// A score as text; zero has no sign.
fn score(score: &f64) -> String {
    (score + 0.0).to_string()
}

fn render(placement: &Placement) -> String {
    let mut text = format!(
        "Start {} was decided at {} by {} in {} µs, among {} eligible.",
        placement.epoch, placement.decided, placement.balancer, placement.duration_us, placement.eligible
    );
    // Writing to a string does not fail.
    if let Some(digest) = &placement.digest {
        let _ = write!(text, "\nModule:   SHA-256 {digest}");
    }
    if let Some(fallback) = &placement.fallback {
        let _ = write!(text, "\nFallback: {fallback}");
    }
    if let Some(InsteadOf { balancer, digest, duration_us }) = &placement.instead_of {
        let digest = digest.as_ref().map(|digest| format!(", SHA-256 {digest}")).unwrap_or_default();
        let took = duration_us.map_or_else(|| ", was not asked".to_owned(), |took| format!(", took {took} µs"));
        let _ = write!(text, "\nFailed:   {balancer}{digest}{took}");
    }
    if let Some(reason) = &placement.reason {
        let _ = write!(text, "\nReason:   {reason}");
    }
    let mut scores = placement.scores.iter().flatten();
    let rows: Vec<_> = (1..)
        .zip(&placement.candidates)
        .map(|(rank, node)| [rank.to_string(), node.title(), scores.next().map(score).unwrap_or_default()])
        .collect();
    let _ = write!(text, "\n{}", output::columns(["Rank", "Node", "Score"], &rows));
    if let Some(Shadow { balancer, verdict, candidates, reason }) = &placement.shadow {
        let said = candidates.first().map(NodeRef::title).or_else(|| reason.clone()).unwrap_or_default();
        let _ = write!(text, "\nShadow {balancer}: {verdict}: {said}");
    }
    for attempt in &placement.attempts {
        let _ = write!(text, "\nThe start on {} failed: {}", attempt.node.title(), attempt.failure);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_is_told_with_its_module_its_reason_and_its_failed_starts() {
        let placement: Placement = serde_json::from_value(json!({
            "id": 7, "epoch": 2, "balancer": "sessions", "digest": "ab12", "eligible": 3, "duration_us": 41,
            "candidates": [{"id": 2, "name": "b"}, {"id": 9, "name": null}], "scores": [-0.0, -1.0],
            "reason": "fewest sessions", "fallback": "balancer mine failed: broke",
            "instead_of": {"balancer": "mine", "digest": "cd34", "duration_us": 50_012},
            "attempts": [{"node": {"id": 1, "name": "a"}, "failure": "no such program"}],
            "decided": "2026-01-02T03:04:05Z",
            "shadow": {"balancer": "next", "verdict": "different", "candidates": [{"id": 1, "name": "a"}], "reason": null},
        }))
        .unwrap();
        let expected = "Start 2 was decided at 2026-01-02T03:04:05Z by sessions in 41 µs, among 3 eligible.\n\
                        Module:   SHA-256 ab12\n\
                        Fallback: balancer mine failed: broke\n\
                        Failed:   mine, SHA-256 cd34, took 50012 µs\n\
                        Reason:   fewest sessions\n\
                        Rank  Node            Score\n\
                        1     b               0\n\
                        2     deleted node 9  -1\n\
                        Shadow next: different: a\n\
                        The start on a failed: no such program";
        assert_eq!(render(&placement), expected);
    }

    #[test]
    fn nodes_that_were_excluded_are_named_by_rule() {
        let node = |name: String, why: &str| json!({ "name": name, "rule": "full", "why": why });
        let mut nodes: Vec<_> = (0..12).map(|number| node(format!("n{number}"), "it is offline")).collect();
        nodes.push(node("m".to_owned(), "it is cordoned"));
        let shown = serde_json::from_value(json!({ "excluded": nodes })).map_err(anyhow::Error::from);
        assert_eq!(
            excluded(&shown),
            "\nExcluded: m: it is cordoned\n\
             Excluded: n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more: it is offline"
        );
        assert_eq!(excluded(&Err(anyhow::anyhow!("it is not kept"))), "\nExcluded: unknown: it is not kept");
    }
}
