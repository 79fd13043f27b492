//! Whether the balancers that the configuration selects can be had, without taking them.

use std::path::Path;

use super::module::{self, Module};
use crate::{
    cli::balancers,
    config::{Config, Severity},
};

/// What is wrong with them. A module that cannot be used is stood in for, unless that is to be refused.
pub(in crate::cli) fn selected(config: &Config) -> Vec<(Severity, String)> {
    let engine = match balancers::engine_of_an_author() {
        Ok(engine) => engine,
        Err(error) => return vec![(Severity::Error, format!("{error:#}"))],
    };
    let mut problems = Vec::new();
    let refused = config.balancer_fallback == "refuse";
    let all = [("balancer", Some(&config.balancer)), ("balancer-shadow", config.balancer_shadow.as_ref())];
    for (setting, name) in all {
        let Some(name) = name else { continue };
        let file = config.plugins_dir.join(format!("{name}.wasm"));
        let from_file = file.is_file();
        let opened = if from_file {
            Module::read(&file, config, &engine)
        } else if let Some(builtin) = module::builtin(name) {
            Ok(builtin)
        } else {
            match balancers::script(config, name) {
                Ok(true) => continue,
                Ok(false) => {
                    Err(anyhow::anyhow!("there is no {}, and no builtin balancer of that name", file.display()))
                }
                Err(error) => Err(error),
            }
        };
        let terms = balancers::terms(config, name, engine.clone());
        let loaded = opened.and_then(|module| module.load(&terms).map(drop).map_err(Into::into));
        if let Err(error) = loaded {
            // A builtin one or a script that cannot be used keeps the daemon from starting; a file is waited for.
            let is_fatal = setting == "balancer" && (refused || (!from_file && is_here(name)));
            let severity = if is_fatal { Severity::Error } else { Severity::Warning };
            problems.push((severity, format!("load-balancer: {setting}={name}: {error:#}")));
        }
    }
    if !refused && module::builtin(&config.balancer_fallback).is_none() {
        let text = format!(
            "load-balancer: balancer-fallback={}: there is no builtin balancer of that name",
            config.balancer_fallback
        );
        problems.push((Severity::Error, text));
    }
    problems
}

/// Whether a balancer is not a file's to be.
fn is_here(name: &str) -> bool {
    module::builtin(name).is_some() || Path::new(name) == Path::new("custom")
}
