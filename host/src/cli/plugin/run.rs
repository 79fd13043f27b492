//! `plugin run FILE --case CASE.toml`.

use std::path::Path;

use anyhow::{bail, ensure};
use evenkeel_plugin_cases::{Case, File as Cases, Outcome};
use serde_json::{Value, json};

use super::module::{Asking, Candidate, Module, cases};
use crate::{
    balancer::LogLine,
    cli::{balancers, output},
    config::Config,
};

/// Asks a module the cases of a file, or the one of that name, and prints what it says. An error where a decision failed or
/// is not the one that the case expects.
pub(super) fn run(
    config: &Config,
    module: &Path,
    file: &Path,
    only: Option<&str>,
    as_json: bool,
) -> anyhow::Result<()> {
    let engine = balancers::engine_of_an_author()?;
    let Cases { balancer, case: cases } = chosen(file, only)?;
    let module = Module::open(module, config, &engine)?.known_as(&balancer);
    let name = module.name.clone();
    let terms = balancers::terms(config, &name, engine);
    let mut candidate = Candidate::new(module, terms);
    let (mut told, mut wrong) = (Vec::new(), 0);
    for case in &cases {
        let asking = candidate.ask(case, case.nodes.clone())?;
        let verdict = case.expect.as_ref().map(|_| case.compare(&asking.asked, &asking.outcome));
        let failed = matches!(asking.outcome, Outcome::Failed(_) | Outcome::Refused(_));
        wrong += usize::from(verdict.as_ref().map_or(failed, Result::is_err));
        if as_json {
            told.push(document(case, &asking, verdict.as_ref()));
        } else {
            output::line(text(case, &asking, verdict.as_ref()));
        }
    }
    if as_json {
        output::line(json!({ "balancer": name, "cases": told }));
    }
    ensure!(wrong == 0, "{name}: {wrong} of {} cases failed, or was answered otherwise than expected", cases.len());
    Ok(())
}

/// The cases of a file, or the one of that name.
fn chosen(file: &Path, only: Option<&str>) -> anyhow::Result<Cases> {
    let Cases { balancer, case: mut cases } = cases(file)?;
    if let Some(only) = only {
        let names = cases.iter().map(|case| format!("{:?}", case.name)).collect::<Vec<_>>().join(", ");
        cases.retain(|case| case.name == only);
        if cases.is_empty() {
            bail!("{}: there is no case {only:?}; there are: {names}", file.display());
        }
    }
    ensure!(!cases.is_empty(), "{}: there is no case in it", file.display());
    Ok(Cases { balancer, case: cases })
}

type Verdict = Result<(), String>;

fn text(case: &Case, asking: &Asking, verdict: Option<&Verdict>) -> String {
    let mut lines = vec![format!("case      {}", case.name)];
    match &asking.outcome {
        Outcome::Refused(why) => lines.push(format!("refused   its settings: {why}")),
        Outcome::Declined(why) => lines.push(format!("declined  {why}")),
        Outcome::Failed(why) => lines.push(format!("failed    {why}")),
        Outcome::Ranked { order, scores, reason } => {
            let score = |node: u32| Some(scores.as_ref()?.get(node as usize)?.to_string());
            let rows: Vec<_> = (1..)
                .zip(order)
                .map(|(place, &node): (usize, _)| {
                    [place.to_string(), node_name(asking, node).to_owned(), score(node).unwrap_or_default()]
                })
                .collect();
            let table = output::columns(["#", "Node", if scores.is_some() { "Score" } else { "" }], &rows);
            lines.extend(table.lines().map(|row| format!("          {row}")));
            lines.extend(reason.iter().map(|reason| format!("reason    {reason}")));
        }
    }
    if let Some(hearing) = &asking.hearing {
        lines.extend(hearing.log().iter().map(|line| format!("log       {:5}  {}", line.level.as_str(), line.message)));
        let memory = hearing.memory.map(|bytes| format!(", {} KiB of memory", bytes.div_ceil(1 << 10)));
        lines.push(format!("took      {} µs{}", hearing.duration.as_micros(), memory.unwrap_or_default()));
    }
    match verdict {
        Some(Ok(())) => lines.push("as expected".to_owned()),
        Some(Err(difference)) => lines.push(format!("NOT as expected: {difference}")),
        None => {}
    }
    lines.join("\n") + "\n"
}

fn document(case: &Case, asking: &Asking, verdict: Option<&Verdict>) -> Value {
    let mut document = json!({ "case": case.name, "as_expected": verdict.map(Result::is_ok) });
    if let Some(Err(difference)) = verdict {
        document["difference"] = json!(difference);
    }
    let (outcome, why) = match &asking.outcome {
        Outcome::Refused(why) => ("refused", Some(why)),
        Outcome::Declined(why) => ("declined", Some(why)),
        Outcome::Failed(why) => ("failed", Some(why)),
        Outcome::Ranked { .. } => ("ranked", None),
    };
    document["outcome"] = json!(outcome);
    if let Some(why) = why {
        document["why"] = json!(why);
    }
    if let Outcome::Ranked { order, scores, reason } = &asking.outcome {
        let score = |node: u32| scores.as_ref()?.get(node as usize).copied();
        let candidate = |&node: &u32| json!({ "node": node_name(asking, node), "score": score(node) });
        document["candidates"] = order.iter().map(candidate).collect();
        document["reason"] = json!(reason);
    }
    if let Some(hearing) = &asking.hearing {
        let line = |line: &LogLine| json!({ "level": line.level.as_str(), "message": line.message });
        document["log"] = hearing.log().iter().map(line).collect();
        document["duration_us"] = json!(hearing.duration.as_micros() as u64);
        document["memory"] = json!(hearing.memory);
    }
    document
}

fn node_name(asking: &Asking, node: u32) -> &str {
    asking.asked.names.get(node as usize).map_or("?", String::as_str)
}
