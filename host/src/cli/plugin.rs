//! `plugin list` and `plugin check`.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{balancers, client::Daemon, output};
use crate::{
    balancer::{
        Balancer,
        plugins::{Inspection, Trial, inspect},
        wasm::{CONTRACT_VERSION, Engine, Setting},
    },
    config::Config,
};

#[derive(Deserialize)]
struct Row {
    name: String,
    digest: Option<String>,
    source: Option<String>,
    path: Option<String>,
    state: String,
    since: String,
    last_error: Option<String>,
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
    Ok(())
}

fn render(balancers: &[Row]) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    let rows: Vec<_> = balancers
        .iter()
        .map(|row| {
            [
                row.name.clone(),
                row.state.clone(),
                row.source.clone().unwrap_or_else(|| "-".to_owned()),
                row.digest.as_deref().map_or_else(|| "-".to_owned(), short),
                row.decisions.to_string(),
                row.failures.to_string(),
                number(row.p50_us),
                number(row.p99_us),
                row.since.clone(),
                row.path.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["Name", "State", "Source", "Digest", "Decisions", "Failures", "p50 µs", "p99 µs", "Since", "Path"];
    let mut text = output::columns(header, &rows);
    for row in balancers {
        if let Some(error) = &row.last_error {
            text += &format!("\n{} ({}): {error}", row.name, row.state);
        }
    }
    text
}

#[derive(Serialize)]
struct Checked<'a> {
    name: &'a str,
    digest: Option<&'a str>,
    size: usize,
    contract: &'static str,
    settings: Vec<Value>,
    trials: Vec<Value>,
}

/// Does with a file what activation does, and says how it went. Where it would not be taken, the error says why.
pub(super) fn check(config: &Config, file: &Path, as_json: bool) -> anyhow::Result<()> {
    let name = file.file_stem().and_then(|name| name.to_str()).context("the file needs a name: NAME.wasm")?;
    let terms = balancers::terms(config, name, Engine::new()?);
    let inspection = inspect(file, name, &terms).with_context(|| format!("{} is refused", file.display()))?;
    if as_json {
        output::line(serde_json::to_string(&document(name, &inspection))?);
    } else {
        output::line(passed(name, &inspection, config.balancer == name));
    }
    Ok(())
}

fn document<'a>(name: &'a str, inspection: &'a Inspection) -> Checked<'a> {
    let Inspection { balancer, size, trials, larger } = inspection;
    let setting = |setting: &Setting| {
        let value = balancer.settings().get(&setting.key);
        json!({ "key": setting.key, "default": setting.default, "value": value, "help": setting.help })
    };
    let trial = |trial: &Trial| {
        let micros = trial.duration.map(|duration| duration.as_micros() as u64);
        json!({ "nodes": trial.nodes, "passed": true, "duration_us": micros, "declined": trial.declined })
    };
    let beyond = |(nodes, outcome): &(usize, Result<Trial, String>)| match outcome {
        Ok(passed) => trial(passed),
        Err(why) => json!({ "nodes": nodes, "passed": false, "failure": why }),
    };
    Checked {
        name,
        digest: balancer.digest(),
        size: *size,
        contract: CONTRACT_VERSION,
        settings: balancer.declared().iter().map(setting).collect(),
        trials: trials.iter().map(trial).chain(larger.iter().map(beyond)).collect(),
    }
}

fn passed(name: &str, inspection: &Inspection, selected: bool) -> String {
    let Inspection { balancer, size, trials, larger } = inspection;
    let mut lines = vec![
        format!("{name}: a balancer of {size} bytes for the contract {CONTRACT_VERSION}"),
        format!("SHA-256   {}", balancer.digest().unwrap_or_default()),
    ];
    for setting in balancer.declared() {
        let value = balancer.settings().get(&setting.key).map_or("", String::as_str);
        lines.push(format!("setting   {} = {value}: {}", setting.key, setting.help));
    }
    for trial in trials {
        lines.push(format!("trial     {}", said(trial)));
    }
    for (nodes, outcome) in larger {
        lines.push(match outcome {
            Ok(trial) => format!("larger    {}", said(trial)),
            Err(why) => format!("warning   {nodes} nodes would be too many: {why}"),
        });
    }
    lines.push(if selected {
        "It would be taken.".to_owned()
    } else {
        format!("It would be taken, where the file load-balancer has balancer = {name}.")
    });
    lines.join("\n")
}

fn said(trial: &Trial) -> String {
    match (&trial.duration, &trial.declined) {
        (Some(duration), _) => format!("{} nodes: {} µs", trial.nodes, duration.as_micros()),
        (None, declined) => format!("{} nodes: declined: {}", trial.nodes, declined.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, render};

    #[test]
    fn balancers_are_listed_with_what_went_wrong() {
        let row = Row {
            name: "mine".to_owned(),
            digest: Some("0123456789abcdef".to_owned()),
            source: Some("kept".to_owned()),
            path: None,
            state: "standing in".to_owned(),
            since: "2026-01-01T00:00:00Z".to_owned(),
            last_error: Some("it is text".to_owned()),
            decisions: 3,
            failures: 0,
            p50_us: Some(40),
            p99_us: None,
        };
        assert_eq!(
            render(&[row]),
            "Name  State        Source  Digest        Decisions  Failures  p50 µs  p99 µs  Since                 Path\n\
             mine  standing in  kept    0123456789ab  3          0         40      -       2026-01-01T00:00:00Z\n\
             mine (standing in): it is text"
        );
    }
}
