//! Which balancer decides: from the configuration to the plugins directory, the script and what stands in.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, anyhow};

use super::{
    in_force::{InForce, ShadowInForce},
    script, system,
};
use crate::{
    balancer::{
        Balancer, Journal, builtin,
        plugins::{Describe, OnRecord, Plugins, Report, SETTLE, Selection, State, Terms},
        script::Account,
        trust::Trust,
        wasm::{Cache, Compiler, Engine, Limits, LoadError},
    },
    config::Config,
    sessions::placement::trial,
    store::Store,
    web::Balancers,
};

/// The selected balancer, with the one that stands in for it.
pub(super) fn select(config: &Config, engine: &Engine, journal: &Arc<Journal>) -> anyhow::Result<Plugins> {
    let name = &config.balancer;
    let own = config.balancer_options.get(name).and_then(|options| options.fallback.as_deref());
    let other = match own.unwrap_or(&config.balancer_fallback) {
        "refuse" => None,
        other => {
            let settings = config.balancer_settings.get(other).cloned().unwrap_or_default();
            let section = own.map(|_| format!("[balancer {name}] ")).unwrap_or_default();
            let other = builtin::stand_in(other, settings, engine)
                .with_context(|| format!("{section}balancer-fallback={other}"))?;
            Some(other)
        }
    };
    let context = format!("balancer={name}");
    let selection = selection(config, name, engine, journal, legacy_script(config, name)?);
    Plugins::open(selection, other, Arc::new(system::SystemClock)).context(context)
}

/// The balancer that is asked beside it, where one is named.
pub(super) fn shadow(config: &Config, engine: &Engine, journal: &Arc<Journal>) -> anyhow::Result<Option<Plugins>> {
    let Some(name) = &config.balancer_shadow else { return Ok(None) };
    let context = format!("balancer-shadow={name}");
    if *name == config.balancer {
        return Err(anyhow!("it is the balancer that decides, and would be compared with itself").context(context));
    }
    // Nobody depends on it: where the script is not there, it is missing.
    let script = legacy_script(config, name).unwrap_or_else(|error| {
        tracing::warn!("{context}: {error:#}");
        None
    });
    let selection = selection(config, name, engine, journal, script);
    Plugins::open_shadow(selection, Arc::new(system::SystemClock)).map(Some).context(context)
}

fn selection(
    config: &Config,
    name: &str,
    engine: &Engine,
    journal: &Arc<Journal>,
    script: Option<Arc<dyn Balancer>>,
) -> Selection {
    let terms = terms(config, name, engine.clone());
    let builtin = {
        let (name, terms) = (name.to_owned(), terms.clone());
        Box::new(move || match &script {
            Some(script) => Ok(Some(Arc::clone(script))),
            None => builtin_of_name(&name, &terms),
        })
    };
    Selection {
        directory: config.plugins_dir.clone(),
        kept: kept(config),
        terms,
        builtin,
        settle: SETTLE,
        journal: Arc::clone(journal),
        name: name.to_owned(),
    }
}

/// Where the daemon keeps modules.
pub(super) fn kept(config: &Config) -> PathBuf {
    config.data_dir.join("balancers")
}

/// The balancers of the daemon, for its pages and its interface.
#[derive(Debug)]
pub(super) struct All {
    pub(super) selected: Arc<InForce>,
    pub(super) shadow: Arc<ShadowInForce>,
    pub(super) journal: Arc<Journal>,
}

impl Balancers for All {
    fn reports(&self) -> Vec<Report> {
        let selected = self.selected.plugins();
        let mut reports = selected.reports();
        if let Some(shadow) = self.shadow.plugins() {
            reports.extend(shadow.reports().into_iter().map(|report| match report.state {
                State::Active | State::StandingIn => Report { state: State::Shadow, ..report },
                _ => report,
            }));
        }
        for other in selected.available() {
            if reports.iter().all(|report| report.name != other.name) {
                reports.push(other);
            }
        }
        reports
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn missed_by_shadow(&self) -> Option<u64> {
        self.shadow.missed()
    }
}

/// What an author's commands run modules in: they need nothing of the daemon's, and keep nothing.
pub(super) fn engine_of_an_author() -> anyhow::Result<Engine> {
    Ok(Engine::new()?.with_compiler(compiler()))
}

fn compiler() -> Compiler {
    Compiler::new("/proc/self/exe")
}

/// What the daemon's balancers run in, with a compiler that keeps what it compiled in the data directory where it can.
pub(super) fn engine(config: &Config) -> anyhow::Result<Engine> {
    let compiler = compiler();
    let compiled = kept(config).join("compiled");
    let compiler = match Cache::open(&compiled, &system::SystemEntropy) {
        Ok(cache) => compiler.keeping(cache),
        Err(error) => {
            tracing::warn!(%error, "each start compiles the balancers anew");
            compiler
        }
    };
    Ok(Engine::new()?.with_compiler(compiler))
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

/// Whether a script answers to the name; an error where it should and cannot.
pub(super) fn script(config: &Config, name: &str) -> anyhow::Result<bool> {
    Ok(legacy_script(config, name)?.is_some())
}

/// What a balancer of that name is loaded with.
pub(super) fn terms(config: &Config, name: &str, engine: Engine) -> Terms {
    Terms {
        engine,
        settings: config.balancer_settings.get(name).cloned().unwrap_or_default(),
        limits: limits(config, name),
        allowed: config.plugins_sha256.clone(),
        trust: trust(config.server_user.as_deref()),
    }
}

/// Who may have written what root is about to run: root, and the server user.
fn trust(server_user: Option<&str>) -> Trust {
    if !nix::unistd::geteuid().is_root() {
        return Trust::Anybody;
    }
    let owner = Account::owner(server_user).unwrap_or_else(|error| {
        tracing::warn!(%error, "server-user: of balancers, only root's files are trusted");
        None
    });
    Trust::Owners(std::iter::once(0).chain(owner.map(|account| account.uid)).collect())
}

fn limits(config: &Config, name: &str) -> Limits {
    let least = Limits { deadline: config.balancer_timeout, ..Limits::default() };
    let Some(granted) = config.balancer_options.get(name) else { return least };
    Limits {
        deadline: granted.timeout.unwrap_or(least.deadline),
        memory: granted.memory.unwrap_or(least.memory),
        module: granted.module.unwrap_or(least.module),
        stack: granted.stack.unwrap_or(least.stack),
        table: granted.table.unwrap_or(least.table),
        instances: granted.instances.unwrap_or(least.instances),
        tables: granted.tables.unwrap_or(least.tables),
        handover: granted.handover.unwrap_or(least.handover),
        log_lines: granted.log_lines.unwrap_or(least.log_lines),
        log_line: granted.log_line.unwrap_or(least.log_line),
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

/// Whose decisions are on record.
pub(super) fn on_record(store: Arc<dyn Store>) -> OnRecord {
    Box::new(move || {
        let store = Arc::clone(&store);
        Box::pin(async move { store.shown_digests().await.ok() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        balancer::{Columns, Question, Request},
        config::{Flags, Surroundings},
        sessions::placement::shadow::Second,
    };

    fn configured(load_balancer: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("load-balancer"), load_balancer).expect("written");
        let flags = Flags {
            config_dir: Some(dir.path().to_owned()),
            data_dir: Some(dir.path().join("data")),
            ..Flags::default()
        };
        let surroundings = Surroundings::of_ada();
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
        Question { nodes: Arc::new(nodes), user_sessions: numbers(0), request: Request::default(), session: None }
    }

    #[test]
    fn a_deadline_that_passes_costs_no_session_under_the_default_balancer_either() {
        for text in ["balancer-timeout-ms = 1", "balancer = system-load\nbalancer-timeout-ms = 1"] {
            let (_dir, config) = configured(text);
            let policy =
                select(&config, &Engine::new().expect("an engine"), &Arc::default()).expect("a balancer").policy();
            let decided = policy.rank(&hard()).expect("an answer");
            assert_eq!(decided.balancer.name(), "sessions");
            assert!(decided.fallback.is_some_and(|(why, _)| why.contains("failed")), "{text}");
            assert_eq!(decided.answer.order[0], 0);
        }
    }

    #[test]
    fn a_balancer_has_the_limits_of_its_section_and_others_have_not() {
        let section = "[balancer mine]\nbalancer-timeout-ms = 7\nbalancer-memory-mb = 128\nbalancer-module-mb = 2\n\
                       balancer-stack-kb = 1024\nbalancer-table-elements = 9\nbalancer-instances = 5\n\
                       balancer-tables = 4\nbalancer-answer-kb = 2\nbalancer-log-lines = 3\nbalancer-log-line-bytes = 99";
        let (_dir, config) = configured(section);
        let granted = Limits {
            deadline: std::time::Duration::from_millis(7),
            memory: 128 << 20,
            module: 2 << 20,
            stack: 1 << 20,
            table: 9,
            instances: 5,
            tables: 4,
            handover: 2 << 10,
            log_lines: 3,
            log_line: 99,
        };
        assert_eq!(limits(&config, "mine"), granted);
        assert_eq!(limits(&config, "yours"), Limits::default());
    }

    #[test]
    fn nothing_stands_in_where_a_failure_is_to_refuse() {
        let (_dir, config) = configured("balancer-fallback = refuse\nbalancer-timeout-ms = 1");
        select(&config, &Engine::new().expect("an engine"), &Arc::default())
            .expect("a balancer")
            .policy()
            .rank(&hard())
            .expect_err("refused");
    }

    #[test]
    fn a_balancer_of_its_own_fallback_has_that_before_the_general_one() {
        let other = |text: &str| {
            let (_dir, config) = configured(text);
            let policy =
                select(&config, &Engine::new().expect("an engine"), &Arc::default()).expect("a balancer").policy();
            policy.other().map(|other| other.balancer.name().to_owned())
        };
        let text = "balancer-fallback = refuse\n";
        assert_eq!(other(text), None);
        let own = |name: &str| format!("{text}[balancer {name}]\nbalancer-fallback = system-load\n");
        assert_eq!(other(&own("sessions")).as_deref(), Some("system-load"));
        assert_eq!(other(&own("user-hash")), None, "that is another's");
        assert_eq!(other("[balancer sessions]\nbalancer-fallback = refuse\n"), None);
        assert_eq!(other("").as_deref(), Some("sessions"));
    }

    #[test]
    fn a_fallback_that_is_no_builtin_is_refused_where_it_is_written() {
        let (_dir, config) = configured("[balancer sessions]\nbalancer-fallback = mine\n");
        let error = select(&config, &Engine::new().expect("an engine"), &Arc::default()).expect_err("refused");
        let message = format!("{error:#}");
        assert!(message.starts_with("[balancer sessions] balancer-fallback=mine: there is no builtin"), "{message}");
    }

    #[test]
    fn a_shadow_that_cannot_be_had_keeps_no_daemon_from_starting() {
        let engine = Engine::new().expect("an engine");
        let (_dir, config) = configured("balancer-shadow = mine");
        let shadow = shadow(&config, &engine, &Arc::default()).expect("it starts").expect("a shadow");
        let report = shadow.reports().remove(0);
        assert_eq!((report.name.as_str(), report.state), ("mine", State::Missing));
        // Nor does a script that is not there keep a daemon from starting.
        let (_dir, config) = configured("balancer-shadow = custom\nbalancer-script = /nonexistent/script");
        let shadow = super::shadow(&config, &engine, &Arc::default()).expect("it starts").expect("a shadow");
        assert_eq!(shadow.reports()[0].state, State::Missing);
        let (_dir, config) = configured("balancer-shadow = user-hash");
        let shadow = super::shadow(&config, &engine, &Arc::default()).expect("it starts").expect("a shadow");
        let all = All {
            selected: Arc::new(InForce::new(select(&config, &engine, &Arc::default()).expect("a balancer"))),
            shadow: Arc::new(ShadowInForce::new(None, Second::new().0)),
            journal: Arc::default(),
        };
        assert_eq!(all.missed_by_shadow(), None);
        assert_eq!(shadow.reports().remove(0).state, State::Active);
    }

    #[test]
    fn a_balancer_is_no_shadow_of_itself() {
        let (_dir, config) = configured("balancer-shadow = sessions");
        let error = shadow(&config, &Engine::new().expect("an engine"), &Arc::default()).expect_err("refused");
        assert!(format!("{error:#}").starts_with("balancer-shadow=sessions: it is the balancer that decides"));
    }
}
