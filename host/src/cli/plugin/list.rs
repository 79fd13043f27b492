//! `plugin list`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{client::Daemon, nodes, output};

#[derive(Deserialize)]
struct Row {
    name: String,
    contract: Option<String>,
    digest: Option<String>,
    source: Option<String>,
    path: Option<String>,
    state: String,
    since: Option<String>,
    last_error: Option<String>,
    warnings: Vec<String>,
    decisions: u64,
    failures: u64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

/// Prints the balancers of the node.
pub(super) async fn list(daemon: &Daemon, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::line(json!({ "balancers": daemon.list::<Value>("/api/v1/balancers").await? }));
        return Ok(());
    }
    output::line(render(&daemon.list("/api/v1/balancers").await?));
    if let Some(apart) = nodes::find_apart(daemon).await? {
        output::warning(apart);
    }
    Ok(())
}

fn render(balancers: &[Row]) -> String {
    let or_hyphen = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    let rows: Vec<_> = balancers
        .iter()
        .map(|row| {
            [
                row.name.clone(),
                row.state.clone(),
                or_hyphen(&row.source),
                or_hyphen(&row.contract),
                row.digest.as_deref().map_or_else(|| "-".to_owned(), short),
                row.decisions.to_string(),
                row.failures.to_string(),
                output::number(row.p50_us),
                output::number(row.p99_us),
                or_hyphen(&row.since),
                row.path.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header =
        ["Name", "State", "Source", "Contract", "Digest", "Decisions", "Failures", "p50 µs", "p99 µs", "Since", "Path"];
    let mut text = output::columns(header, &rows);
    for row in balancers {
        if let Some(error) = &row.last_error {
            text += &format!("\n{} ({}): {error}", row.name, row.state);
        }
        for warning in &row.warnings {
            text += &format!("\n{} ({}): warning: {warning}", row.name, row.state);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Row, render};

    #[test]
    fn balancers_are_listed_with_what_went_wrong() {
        let row = Row {
            name: "mine".to_owned(),
            contract: Some("1.2.0".to_owned()),
            digest: Some("0123456789abcdef".to_owned()),
            source: Some("kept".to_owned()),
            path: None,
            state: "standing in".to_owned(),
            since: Some("2026-01-01T00:00:00Z".to_owned()),
            last_error: Some("it is text".to_owned()),
            warnings: vec!["it takes the place of the builtin balancer mine".to_owned()],
            decisions: 3,
            failures: 0,
            p50_us: Some(40),
            p99_us: None,
        };
        assert_eq!(
            render(&[row]),
            "Name  State        Source  Contract  Digest        Decisions  Failures  p50 µs  p99 µs  Since                 Path\n\
             mine  standing in  kept    1.2.0     0123456789ab  3          0         40      -       2026-01-01T00:00:00Z\n\
             mine (standing in): it is text\n\
             mine (standing in): warning: it takes the place of the builtin balancer mine"
        );
    }
}
