//! `plugin test DIR`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use evenkeel_plugin_cases::Case;
use serde_json::{Value, json};

use super::module::{Candidate, Module, builtin, cases};
use crate::{
    balancer::{plugins::Terms, wasm::Engine},
    cli::{balancers, output},
    config::Config,
};

/// Asks the cases of files and directories, and prints how each was answered. An error where one was answered otherwise
/// than expected, and where there is none. Settings are those of the cases alone: what a test says must not depend on
/// the machine.
pub(super) fn test(config: &Config, paths: &[PathBuf], module: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    let engine = balancers::engine_of_an_author()?;
    let (mut asked, mut wrong, mut told) = (0, 0, Vec::new());
    for path in paths {
        for file in files(path)? {
            let cases = cases(&file)?;
            let module = match module {
                Some(module) => Module::open(module, config, &engine)?.named(&cases.balancer),
                None => beside(&file, &cases.balancer, config, &engine)?,
            };
            let terms = balancers::terms(config, &module.name, engine.clone());
            let mut candidate = Candidate::new(module, Terms { settings: Default::default(), ..terms });
            let results: Vec<_> = cases.case.iter().map(|case| (case, answered(&mut candidate, case))).collect();
            asked += results.len();
            wrong += results.iter().filter(|(_, result)| result.is_err()).count();
            if as_json {
                told.push(document(&file, &cases.balancer, &results));
            } else {
                output::line(text(&file, &cases.balancer, &results));
            }
        }
    }
    ensure!(asked > 0, "there is no case in {}", list(paths));
    if as_json {
        output::line(json!({ "cases": asked, "failed": wrong, "files": told }));
    } else {
        output::line(format_args!("{} of {asked} cases answered as expected", asked - wrong));
    }
    ensure!(wrong == 0, "{wrong} of {asked} cases failed");
    Ok(())
}

/// Whether a case is answered as expected, in each order of its nodes that it holds for.
fn answered(candidate: &mut Candidate, case: &Case) -> Result<(), String> {
    if case.expect.is_none() {
        return Err("it expects nothing; `plugin run` prints what is answered".to_owned());
    }
    for nodes in case.orders() {
        let asking = candidate.ask(case, nodes).map_err(|error| error.to_string())?;
        case.compare(&asking.asked, &asking.outcome).map_err(|difference| match &asking.asked.names {
            names if case.any_order => format!("with the nodes in the order {}: {difference}", names.join(", ")),
            _ => difference,
        })?;
    }
    Ok(())
}

/// A file itself, or those of a directory that are files of cases; not those of directories in it.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let context = || path.display().to_string();
    let mut files = Vec::new();
    for entry in path.read_dir().with_context(context)? {
        let file = entry.with_context(context)?.path();
        let cases = file.extension().is_some_and(|end| end == "toml") && !is_manifest(&file);
        files.extend(cases.then_some(file));
    }
    files.sort();
    ensure!(!files.is_empty(), "{}: there is no file of cases, *.toml, in it", path.display());
    Ok(files)
}

/// That of a Rust package, which may lie beside its cases.
fn is_manifest(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// The module that a file of cases is about.
fn beside(file: &Path, name: &str, config: &Config, engine: &Engine) -> anyhow::Result<Module> {
    let path = file.with_file_name(format!("{name}.wasm"));
    if path.exists() {
        return Ok(Module::read(&path, config, engine)?.named(name));
    }
    match builtin(name) {
        Some(module) => Ok(module),
        None => bail!(
            "{}: it is about {name}, but there is no {}, and no builtin balancer of that name: give --module FILE",
            file.display(),
            path.display()
        ),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

type Results<'a> = [(&'a Case, Result<(), String>)];

fn text(file: &Path, balancer: &str, results: &Results<'_>) -> String {
    let mut lines = vec![format!("{}: {balancer}", file.display())];
    for (case, result) in results {
        match result {
            Ok(()) => lines.push(format!("  ok      {}", case.name)),
            Err(difference) => lines.push(format!("  FAILED  {}: {difference}", case.name)),
        }
    }
    lines.join("\n")
}

fn document(file: &Path, balancer: &str, results: &Results<'_>) -> Value {
    let case = |(case, result): &(&Case, Result<(), String>)| {
        let difference = result.as_ref().err();
        json!({ "name": case.name, "passed": difference.is_none(), "difference": difference })
    };
    json!({ "file": file, "balancer": balancer, "cases": results.iter().map(case).collect::<Vec<_>>() })
}
