//! `plugin check FILE`.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    balancer::{
        Balancer,
        plugins::{Inspection, SelectionError, Trial, inspect, inspect_builtin, is_name, shadows_builtin},
        wasm::{Import, Setting},
    },
    cli::{balancers, output},
    config::Config,
};

#[derive(Serialize)]
struct Checked<'a> {
    name: &'a str,
    digest: Option<&'a str>,
    size: usize,
    contract: Option<&'a str>,
    imports: Vec<Import>,
    settings: Vec<Value>,
    trials: Vec<Value>,
    warnings: Vec<String>,
}

/// Does with a file what activation does, and says how it went. Where it would not be taken, the error says why. Where
/// there is no such file, the name of a builtin balancer is taken for that.
pub(super) fn check(config: &Config, file: &Path, as_json: bool) -> anyhow::Result<()> {
    let name = super::module::name(file)?;
    ensure!(is_name(&name), "{} could not be selected: {}", file.display(), SelectionError::Name);
    let terms = balancers::terms(config, &name, balancers::engine_of_an_author()?);
    let builtin = if file.as_os_str() == name.as_str() && !file.is_file() {
        inspect_builtin(&name, &terms).with_context(|| format!("the builtin balancer {name} is refused"))?
    } else {
        None
    };
    let verdict = match (&builtin, config.balancer == name) {
        (_, true) => "It would be taken.".to_owned(),
        (None, false) => format!("It would be taken, where the file load-balancer has balancer = {name}."),
        (Some(_), false) => format!("It is builtin; balancer = {name} in the file load-balancer selects it."),
    };
    let shadows = if builtin.is_none() { shadows_builtin(&name) } else { None };
    let inspection = match builtin {
        Some(inspection) => inspection,
        // Every directory above it is looked at too.
        None => inspect(&std::path::absolute(file)?, &name, &terms)
            .with_context(|| format!("{} is refused", file.display()))?,
    };
    let warnings: Vec<_> = shadows.into_iter().chain(too_many(&inspection)).collect();
    if as_json {
        output::line(serde_json::to_string(&document(&name, &inspection, warnings))?);
    } else {
        output::line(passed(&name, &inspection, &warnings, verdict));
    }
    Ok(())
}

fn document<'a>(name: &'a str, inspection: &'a Inspection, warnings: Vec<String>) -> Checked<'a> {
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
        contract: balancer.contract(),
        imports: balancer.imports(),
        settings: balancer.declared().iter().map(setting).collect(),
        trials: trials.iter().map(trial).chain(larger.iter().map(beyond)).collect(),
        warnings,
    }
}

fn passed(name: &str, inspection: &Inspection, warnings: &[String], verdict: String) -> String {
    let Inspection { balancer, size, trials, larger } = inspection;
    let mut lines = vec![
        format!("{name}: a balancer of {size} bytes for the contract {}", balancer.contract().unwrap_or_default()),
        format!("SHA-256   {}", balancer.digest().unwrap_or_default()),
    ];
    for Import { interface, functions } in balancer.imports() {
        lines.push(format!("imports   {interface}: {}", functions.join(", ")));
    }
    for setting in balancer.declared() {
        let settings = balancer.settings();
        let value = settings.get(&setting.key).map_or("", String::as_str);
        let default = match setting.default.as_deref() {
            Some(default) if default == value => " (its default)".to_owned(),
            Some(default) => format!(" (default {default})"),
            None => String::new(),
        };
        lines.push(format!("setting   {} = {value}{default}: {}", setting.key, setting.help));
    }
    for trial in trials {
        lines.push(format!("trial     {}", said(trial)));
    }
    for trial in larger.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()) {
        lines.push(format!("larger    {}", said(trial)));
    }
    lines.extend(warnings.iter().map(|warning| format!("warning   {warning}")));
    lines.push(verdict);
    lines.join("\n")
}

/// The larger clusters over which it would fail, though it would be taken.
fn too_many(Inspection { larger, .. }: &Inspection) -> impl Iterator<Item = String> {
    let one = |(nodes, outcome): &(usize, Result<Trial, String>)| {
        Some(format!("{nodes} nodes would be too many: {}", outcome.as_ref().err()?))
    };
    larger.iter().filter_map(one)
}

fn said(trial: &Trial) -> String {
    match (&trial.duration, &trial.declined) {
        (Some(duration), _) => format!("{} nodes: {} µs", trial.nodes, duration.as_micros()),
        (None, declined) => format!("{} nodes: declined: {}", trial.nodes, declined.as_deref().unwrap_or_default()),
    }
}
