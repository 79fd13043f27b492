//! `why`.

use std::fmt::Write;

use anyhow::bail;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Daemon, output};
use crate::domain::SessionId;

#[derive(Deserialize)]
struct Placement {
    epoch: i64,
    balancer: String,
    digest: Option<String>,
    candidates: Vec<Node>,
    scores: Option<Vec<f64>>,
    reason: Option<String>,
    fallback: Option<String>,
    eligible: u32,
    duration_us: u64,
    attempts: Vec<Attempt>,
    decided: String,
}

#[derive(Deserialize)]
struct Node {
    id: i64,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    node: Node,
    failure: String,
}

impl Node {
    fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("deleted node {}", self.id))
    }
}

/// Prints every placement of a session, newest first.
pub(super) async fn print(daemon: &Daemon, session: SessionId, as_json: bool) -> anyhow::Result<()> {
    let target = format!("/api/v1/placements?session={session}");
    if as_json {
        output::line(json!({ "placements": daemon.list::<Value>(&target).await? }));
        return Ok(());
    }
    let placements: Vec<Placement> = daemon.list(&target).await?;
    if placements.is_empty() {
        bail!("there is no record of session {session}");
    }
    let texts: Vec<_> = placements.iter().map(render).collect();
    output::line(texts.join("\n\n"));
    Ok(())
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
    if let Some(reason) = &placement.reason {
        let _ = write!(text, "\nReason:   {reason}");
    }
    let mut scores = placement.scores.iter().flatten();
    let rows: Vec<_> = (1..)
        .zip(&placement.candidates)
        .map(|(rank, node)| [rank.to_string(), node.title(), scores.next().map(score).unwrap_or_default()])
        .collect();
    let _ = write!(text, "\n{}", output::columns(["Rank", "Node", "Score"], &rows));
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
            "epoch": 2, "balancer": "sessions", "digest": "ab12", "eligible": 3, "duration_us": 41,
            "candidates": [{"id": 2, "name": "b"}, {"id": 9, "name": null}], "scores": [-0.0, -1.0],
            "reason": "fewest sessions", "fallback": "balancer mine failed: broke",
            "attempts": [{"node": {"id": 1, "name": "a"}, "failure": "no such program"}],
            "decided": "2026-01-02T03:04:05Z",
        }))
        .unwrap();
        let expected = "Start 2 was decided at 2026-01-02T03:04:05Z by sessions in 41 µs, among 3 eligible.\n\
                        Module:   SHA-256 ab12\n\
                        Fallback: balancer mine failed: broke\n\
                        Reason:   fewest sessions\n\
                        Rank  Node            Score\n\
                        1     b               0\n\
                        2     deleted node 9  -1\n\
                        The start on a failed: no such program";
        assert_eq!(render(&placement), expected);
    }
}
