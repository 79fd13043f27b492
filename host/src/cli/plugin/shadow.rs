//! `plugin shadow`.

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::{client::Daemon, node_ref::NodeRef, output, system::SystemClock},
    domain::Clock,
};

#[derive(Deserialize)]
struct Comparison {
    compared: u64,
    same: u64,
    different: u64,
    declined: u64,
    failed: u64,
    missed: Option<u64>,
    shifts: Vec<Shift>,
    nodes: Vec<Count>,
    real: Percentiles,
    shadow: Percentiles,
}

#[derive(Deserialize)]
struct Shift {
    from: NodeRef,
    to: NodeRef,
    count: u64,
}

#[derive(Deserialize)]
struct Count {
    node: NodeRef,
    real: u64,
    shadow: u64,
}

#[derive(Deserialize)]
struct Percentiles {
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

/// Prints where the shadow would have decided otherwise.
pub(super) async fn shadow(daemon: &Daemon, since: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let target = match since {
        Some(text) => format!("/api/v1/balancers/shadow?since={}", time(text, SystemClock.now())?),
        None => "/api/v1/balancers/shadow".to_owned(),
    };
    if as_json {
        output::line(daemon.get::<Value>(&target).await?);
    } else {
        output::line(render(&daemon.get(&target).await?));
    }
    Ok(())
}

/// A time, or so long ago.
fn time(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    let wrong = || format!("--since {text}: it must be a time such as 2026-01-02T03:04:05Z, or a duration such as 2h");
    match text.parse::<SignedDuration>() {
        Ok(ago) => now.checked_sub(ago.abs()).with_context(wrong),
        Err(_) => text.parse().with_context(wrong),
    }
}

fn render(sum: &Comparison) -> String {
    let mut text = format!(
        "{} decisions compared: {} same, {} different, {} declined, {} failed",
        sum.compared, sum.same, sum.different, sum.declined, sum.failed
    );
    match sum.missed {
        Some(0) => {}
        Some(missed) => text += &format!("\n{missed} decisions of this node were missed, since the shadow was busy"),
        None => text += "\nThis node has no shadow; balancer-shadow in the file load-balancer names one",
    }
    if sum.compared == 0 {
        return text;
    }
    let row = |who: &str, of: &Percentiles| [who.to_owned(), output::number(of.p50_us), output::number(of.p99_us)];
    let durations = [row("real", &sum.real), row("shadow", &sum.shadow)];
    text += &format!("\n\n{}", output::columns(["Balancer", "p50 µs", "p99 µs"], &durations));
    let nodes: Vec<_> =
        sum.nodes.iter().map(|row| [row.node.title(), row.real.to_string(), row.shadow.to_string()]).collect();
    text += &format!("\n\n{}", output::columns(["Node", "Real", "Shadow"], &nodes));
    if !sum.shifts.is_empty() {
        let shifts: Vec<_> =
            sum.shifts.iter().map(|row| [row.from.title(), row.to.title(), row.count.to_string()]).collect();
        text += &format!("\n\n{}", output::columns(["From", "To", "Decisions"], &shifts));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sum_tells_where_the_shadow_differs() {
        let node = |id: i64, name: Option<&str>| json!({ "id": id, "name": name });
        let sum = serde_json::from_value(json!({
            "compared": 4, "same": 1, "different": 1, "declined": 1, "failed": 1, "missed": 2,
            "shifts": [{ "from": node(1, Some("a")), "to": node(9, None), "count": 1 }],
            "nodes": [{ "node": node(1, Some("a")), "real": 4, "shadow": 1 }],
            "real": { "p50_us": 40, "p99_us": 50 }, "shadow": { "p50_us": 7, "p99_us": null },
        }))
        .unwrap();
        let expected = "4 decisions compared: 1 same, 1 different, 1 declined, 1 failed\n\
                        2 decisions of this node were missed, since the shadow was busy\n\n\
                        Balancer  p50 µs  p99 µs\n\
                        real      40      50\n\
                        shadow    7       -\n\n\
                        Node  Real  Shadow\n\
                        a     4     1\n\n\
                        From  To              Decisions\n\
                        a     deleted node 9  1";
        assert_eq!(render(&sum), expected);
    }

    #[test]
    fn since_is_a_time_or_a_duration() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [("2h", "2026-01-02T10:00:00Z"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")] {
            assert_eq!(time(text, now).unwrap(), expected.parse().unwrap(), "{text}");
        }
        let message = time("yesterday", now).unwrap_err().to_string();
        assert!(message.starts_with("--since yesterday: it must be a time"), "{message}");
    }
}
