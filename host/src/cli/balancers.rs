//! Which balancer decides: from the configuration to the plugins directory, the script and what stands in.

use std::sync::Arc;

use anyhow::Context;

use super::{script, system};
use crate::{
    balancer::{
        Balancer, builtin,
        plugins::{Describe, Plugins, SETTLE, Selection, Terms},
        wasm::{Engine, Limits, LoadError},
    },
    config::Config,
    sessions::placement::trial,
    store::Store,
};

/// The selected balancer, with the one that stands in for it.
pub(super) fn select(config: &Config) -> anyhow::Result<Plugins> {
    let engine = Engine::new()?;
    let settings = |name: &str| config.balancer_settings.get(name).cloned().unwrap_or_default();
    let other = match config.balancer_fallback.as_str() {
        "refuse" => None,
        name => {
            let other = builtin::stand_in(name, settings(name), &engine);
            Some(other.with_context(|| format!("balancer-fallback={name}"))?)
        }
    };
    let name = config.balancer.clone();
    let terms = terms(config, &name, engine);
    let script = legacy_script(config, &name)?;
    let builtin = {
        let (name, terms) = (name.clone(), terms.clone());
        Box::new(move || match &script {
            Some(script) => Ok(Some(Arc::clone(script))),
            None => builtin_of_name(&name, &terms),
        })
    };
    let selection = Selection {
        directory: config.plugins_dir.clone(),
        kept: config.data_dir.join("balancers"),
        terms,
        builtin,
        settle: SETTLE,
        name,
    };
    let context = format!("balancer={}", selection.name);
    Plugins::open(selection, other, Arc::new(system::SystemClock)).context(context)
}

/// What answers to `custom` where the plugins directory has no module of that name: it must be there then.
fn legacy_script(config: &Config, name: &str) -> anyhow::Result<Option<Arc<dyn Balancer>>> {
    if name != script::NAME {
        return Ok(None);
    }
    match script::select(config) {
        Ok(script) => Ok(Some(script)),
        Err(_) if config.plugins_dir.join("custom.wasm").exists() => Ok(None),
        Err(error) => Err(error.context("balancer=custom")),
    }
}

/// What a balancer of that name is loaded with.
pub(super) fn terms(config: &Config, name: &str, engine: Engine) -> Terms {
    Terms {
        engine,
        settings: config.balancer_settings.get(name).cloned().unwrap_or_default(),
        limits: Limits { deadline: config.balancer_timeout, ..Limits::default() },
    }
}

fn builtin_of_name(name: &str, terms: &Terms) -> Result<Option<Arc<dyn Balancer>>, LoadError> {
    if builtin::module(name).is_none() {
        return Ok(None);
    }
    builtin::select(name, terms.settings.clone(), &terms.engine, terms.limits).map(Some)
}

/// What plugins are tried on.
pub(super) fn describe(store: Arc<dyn Store>) -> Describe {
    Box::new(move || {
        let store = Arc::clone(&store);
        Box::pin(async move { trial::question(store.snapshot().await.ok()?) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        balancer::{Columns, Question, Request},
        config::{Flags, Surroundings},
    };

    fn configured(load_balancer: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("load-balancer"), load_balancer).expect("written");
        let flags = Flags {
            config_dir: Some(dir.path().to_owned()),
            data_dir: Some(dir.path().join("data")),
            ..Flags::default()
        };
        let surroundings = Surroundings {
            root: false,
            home: Some("/home/ada".into()),
            xdg_data_home: None,
            xdg_runtime_dir: None,
            host_name: "n1".to_owned(),
        };
        let config = crate::config::load(&flags, &surroundings).0.expect("a configuration");
        (dir, config)
    }

    /// A question that no module answers within a millisecond.
    fn hard() -> Question {
        const NODES: usize = 100_000;
        let names: Arc<[String]> = (0..NODES).map(|number| number.to_string()).collect();
        let numbers = |number: u32| -> Arc<[u32]> { vec![number; NODES].into() };
        let zeros: Arc<[f64]> = vec![0.0; NODES].into();
        let nodes = Columns {
            names,
            cores: numbers(1),
            weights: numbers(100),
            capacities: numbers(u32::MAX),
            sessions: (0..).take(NODES).collect(),
            load1: zeros.clone(),
            load5: zeros.clone(),
            load15: zeros.clone(),
            unseen5: zeros,
            ..Columns::default()
        };
        Question { nodes: Arc::new(nodes), user_sessions: numbers(0), request: Request::default() }
    }

    #[test]
    fn a_deadline_that_passes_costs_no_session_under_the_default_balancer_either() {
        for text in ["balancer-timeout-ms = 1", "balancer = system-load\nbalancer-timeout-ms = 1"] {
            let (_dir, config) = configured(text);
            let policy = select(&config).expect("a balancer").policy();
            let decided = policy.rank(&hard()).expect("an answer");
            assert_eq!(decided.balancer.name(), "sessions");
            assert!(decided.fallback.is_some_and(|why| why.contains("failed")), "{text}");
            assert_eq!(decided.answer.order[0], 0);
        }
    }

    #[test]
    fn nothing_stands_in_where_a_failure_is_to_refuse() {
        let (_dir, config) = configured("balancer-fallback = refuse\nbalancer-timeout-ms = 1");
        select(&config).expect("a balancer").policy().rank(&hard()).expect_err("refused");
    }
}
