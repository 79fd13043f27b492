//! `why`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use anyhow::bail;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Daemon, node_ref::NodeRef, output};
use crate::domain::SessionId;

#[derive(Deserialize)]
struct Placement {
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
    nodes: Option<Nodes>,
    nodes_unknown: Option<String>,
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

/// The nodes of the cluster when the session was placed.
#[derive(Deserialize)]
struct Nodes {
    eligible: Vec<Eligible>,
    excluded: Vec<Excluded>,
}

#[derive(Deserialize)]
struct Eligible {
    node: NodeRef,
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

/// Nodes that are named in one line.
const NAMES: usize = 10;

/// Prints every placement of a session, newest first.
pub(super) async fn print(daemon: &Daemon, session: SessionId, as_json: bool) -> anyhow::Result<()> {
    let ids = ids(daemon, session).await?;
    if as_json {
        let mut placements = Vec::new();
        for (id, _) in ids {
            let mut placement: Value = daemon.get(&target(id)).await?;
            placement["shown"] = daemon.get(&format!("{}/shown", target(id))).await.unwrap_or_default();
            placements.push(placement);
        }
        output::line(json!({ "placements": placements }));
        return Ok(());
    }
    let mut texts = Vec::new();
    for (id, _) in ids {
        texts.push(render(&daemon.get(&target(id)).await?));
    }
    output::line(texts.join("\n\n"));
    Ok(())
}

/// Prints a decision as a file of one case.
pub(super) async fn case(daemon: &Daemon, session: SessionId, epoch: Option<i64>) -> anyhow::Result<()> {
    let ids = ids(daemon, session).await?;
    let Some((id, _)) = ids.into_iter().find(|(_, of)| epoch.is_none_or(|epoch| *of == epoch)) else {
        bail!("session {session} has no start {}", epoch.unwrap_or_default());
    };
    let text = daemon.ask(Method::GET, &format!("{}/case", target(id))).await?;
    output::line(String::from_utf8_lossy(&text).trim_end());
    Ok(())
}

fn target(placement: i64) -> String {
    format!("/api/v1/placements/{placement}")
}

/// The ids of a session's placements, each with the epoch of its start, newest first.
async fn ids(daemon: &Daemon, session: SessionId) -> anyhow::Result<Vec<(i64, i64)>> {
    #[derive(Deserialize)]
    struct Listed {
        id: i64,
        epoch: i64,
    }
    let placements: Vec<Listed> = daemon.list(&format!("/api/v1/placements?session={session}")).await?;
    if placements.is_empty() {
        bail!("there is no record of session {session}");
    }
    Ok(placements.into_iter().map(|Listed { id, epoch }| (id, epoch)).collect())
}

/// The eligible nodes that are no candidates, and those that were excluded, by rule; or why nobody can tell.
fn others(placement: &Placement) -> String {
    let Some(Nodes { eligible, excluded }) = &placement.nodes else {
        return format!("\nExcluded: unknown: {}", placement.nodes_unknown.as_deref().unwrap_or("it is not told"));
    };
    let candidates: BTreeSet<_> = placement.candidates.iter().map(NodeRef::id).collect();
    let passed_over = eligible.iter().filter(|one| !candidates.contains(&one.node.id()));
    let passed_over: Vec<_> = passed_over.map(|one| one.node.title()).collect();
    let mut text = String::new();
    if !passed_over.is_empty() {
        text += &format!("\nAlso eligible: {}", names(&passed_over));
    }
    let mut rules: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in excluded {
        rules.entry(&node.why).or_default().push(node.name.clone());
    }
    for (why, excluded) in rules {
        text += &format!("\nExcluded: {}: {why}", names(&excluded));
    }
    text
}

/// Some of the names, and how many there are more.
fn names(all: &[String]) -> String {
    let some = all[..all.len().min(NAMES)].join(", ");
    match all.len().saturating_sub(NAMES) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
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
    text + &others(placement)
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
            "instead_of": {"balancer": "mine", "digest": "cd34", "duration_us": 50_012},
            "attempts": [{"node": {"id": 1, "name": "a"}, "failure": "no such program"}],
            "decided": "2026-01-02T03:04:05Z",
            "shadow": {"balancer": "next", "verdict": "different", "candidates": [{"id": 1, "name": "a"}], "reason": null},
            "nodes": {
                "eligible": [
                    {"node": {"id": 2, "name": "b"}}, {"node": {"id": 9, "name": "c"}}, {"node": {"id": 1, "name": "a"}},
                ],
                "excluded": [{"name": "d", "why": "it is cordoned"}],
            },
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
                        The start on a failed: no such program\n\
                        Also eligible: a\n\
                        Excluded: d: it is cordoned";
        assert_eq!(render(&placement), expected);
    }

    fn placed(nodes: &Value, unknown: Option<&str>) -> Placement {
        serde_json::from_value(json!({
            "epoch": 1, "balancer": "mine", "candidates": [{"id": 1, "name": "a"}], "eligible": 1, "duration_us": 1,
            "attempts": [], "decided": "", "nodes": nodes, "nodes_unknown": unknown,
        }))
        .unwrap()
    }

    #[test]
    fn nodes_that_were_excluded_are_named_by_rule() {
        let node = |name: String, why: &str| json!({ "name": name, "why": why });
        let mut excluded: Vec<_> = (0..12).map(|number| node(format!("n{number}"), "it is offline")).collect();
        excluded.push(node("m".to_owned(), "it is cordoned"));
        assert_eq!(
            others(&placed(&json!({ "eligible": [{"node": {"id": 1, "name": "a"}}], "excluded": excluded }), None)),
            "\nExcluded: m: it is cordoned\n\
             Excluded: n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more: it is offline"
        );
        let unknown = placed(&json!(null), Some("it is not kept"));
        assert_eq!(others(&unknown), "\nExcluded: unknown: it is not kept");
    }
}
