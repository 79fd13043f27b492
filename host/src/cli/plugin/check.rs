//! `plugin check FILE`.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    balancer::{
        Balancer,
        plugins::{Inspection, Trial, inspect, shadows_builtin},
        wasm::{CONTRACT_VERSION, Setting},
    },
    cli::{balancers, output},
    config::Config,
};

#[derive(Serialize)]
struct Checked<'a> {
    name: &'a str,
    digest: Option<&'a str>,
    size: usize,
    contract: &'static str,
    settings: Vec<Value>,
    trials: Vec<Value>,
    warnings: Vec<String>,
}

/// Does with a file what activation does, and says how it went. Where it would not be taken, the error says why.
pub(super) fn check(config: &Config, file: &Path, as_json: bool) -> anyhow::Result<()> {
    let name = file.file_stem().and_then(|name| name.to_str()).context("the file needs a name: NAME.wasm")?;
    let terms = balancers::terms(config, name, balancers::engine_of_an_author()?);
    // Every directory above it is looked at too.
    let path = std::path::absolute(file)?;
    let inspection = inspect(&path, name, &terms).with_context(|| format!("{} is refused", file.display()))?;
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
        let settings = balancer.settings();
        let value = settings.get(&setting.key);
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
        warnings: warnings(name, inspection),
    }
}

fn passed(name: &str, inspection: &Inspection, selected: bool) -> String {
    let Inspection { balancer, size, trials, larger } = inspection;
    let mut lines = vec![
        format!("{name}: a balancer of {size} bytes for the contract {CONTRACT_VERSION}"),
        format!("SHA-256   {}", balancer.digest().unwrap_or_default()),
    ];
    for setting in balancer.declared() {
        let settings = balancer.settings();
        let value = settings.get(&setting.key).map_or("", String::as_str);
        lines.push(format!("setting   {} = {value}: {}", setting.key, setting.help));
    }
    for trial in trials {
        lines.push(format!("trial     {}", said(trial)));
    }
    for trial in larger.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()) {
        lines.push(format!("larger    {}", said(trial)));
    }
    lines.extend(warnings(name, inspection).iter().map(|warning| format!("warning   {warning}")));
    lines.push(if selected {
        "It would be taken.".to_owned()
    } else {
        format!("It would be taken, where the file load-balancer has balancer = {name}.")
    });
    lines.join("\n")
}

/// What an administrator should know, though it would be taken.
fn warnings(name: &str, Inspection { larger, .. }: &Inspection) -> Vec<String> {
    let too_many = |(nodes, outcome): &(usize, Result<Trial, String>)| {
        Some(format!("{nodes} nodes would be too many: {}", outcome.as_ref().err()?))
    };
    shadows_builtin(name).into_iter().chain(larger.iter().filter_map(too_many)).collect()
}

fn said(trial: &Trial) -> String {
    match (&trial.duration, &trial.declined) {
        (Some(duration), _) => format!("{} nodes: {} µs", trial.nodes, duration.as_micros()),
        (None, declined) => format!("{} nodes: declined: {}", trial.nodes, declined.as_deref().unwrap_or_default()),
    }
}
