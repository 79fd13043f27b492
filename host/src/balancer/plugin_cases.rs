//! The decision cases of `plugins/cases`, run on the modules in the directory that `EVENKEEL_PLUGINS_DIST` names, else on
//! those of `plugins/dist`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use evenkeel_plugin_cases::{Node, Outcome, Question as Asked};

use super::{
    Balancer, Columns, Question, Refusal, Request, builtin, columns,
    wasm::{Engine, Limits, LoadError, WasmBalancer},
};

/// A module, compiled once for each of the settings it is asked with.
struct Module<'a> {
    engine: &'a Engine,
    name: &'a str,
    bytes: Vec<u8>,
    loaded: BTreeMap<BTreeMap<String, String>, Result<WasmBalancer, LoadError>>,
}

impl Module<'_> {
    fn with(&mut self, settings: &BTreeMap<String, String>) -> &Result<WasmBalancer, LoadError> {
        let Self { engine, name, bytes, loaded } = self;
        let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
        loaded
            .entry(settings.clone())
            .or_insert_with(|| WasmBalancer::load(engine, name, bytes, settings.clone(), limits))
    }

    fn answer(&mut self, asked: &Asked) -> Outcome {
        let name = self.name;
        let balancer = match self.with(&asked.settings) {
            Ok(balancer) => balancer,
            Err(LoadError::Refused(why)) => return Outcome::Refused(why.clone()),
            Err(error) => panic!("{name}: {error}"),
        };
        match balancer.rank(&question(asked)) {
            Ok(answer) => Outcome::Ranked { order: answer.order, scores: answer.scores, reason: answer.reason },
            Err(Refusal::Declined(why)) => Outcome::Declined(why),
            Err(Refusal::Failed(why)) => Outcome::Failed(why),
        }
    }
}

fn question(asked: &Asked) -> Question {
    fn column<T>(nodes: &[Node], pick: impl Fn(&Node) -> T) -> Arc<[T]> {
        nodes.iter().map(pick).collect()
    }
    let nodes = &asked.nodes;
    let request = &asked.request;
    Question {
        nodes: Arc::new(Columns {
            addresses: column(nodes, |node| node.address.clone().unwrap_or_else(|| format!("{}:8787", node.name))),
            ips: column(nodes, |_| None),
            names: column(nodes, |node| node.name.clone()),
            name_hashes: column(nodes, |node| columns::name_hash(&node.name)),
            cores: column(nodes, |node| node.cores),
            weights: column(nodes, |node| node.weight),
            capacities: column(nodes, |node| node.capacity),
            sessions: column(nodes, |node| node.sessions),
            load1: column(nodes, |node| node.load1),
            load5: column(nodes, |node| node.load5),
            load15: column(nodes, |node| node.load15),
            unseen5: column(nodes, |node| node.unseen5),
            memory_total: column(nodes, |node| node.memory_total),
            memory_available: column(nodes, |node| node.memory_available),
            cpus_promised: column(nodes, |node| node.cpus_promised),
            memory_promised: column(nodes, |node| node.memory_promised),
            labels: column(nodes, |node| node.labels.clone()),
            metrics: column(nodes, |node| node.metrics.clone()),
        }),
        user_sessions: column(nodes, |node| node.user_sessions),
        request: Request {
            username: request.username.clone(),
            groups: request.groups.clone(),
            kind: request.kind.clone(),
            cpus: request.cpus,
            memory: request.memory,
            labels: request.labels.clone(),
            previous_node: request.previous_node.clone(),
            now: request.now,
            seed: request.seed,
            sequence: request.sequence,
        },
    }
}

/// Asks a module its cases; the error lists those that it answers otherwise.
fn run(engine: &Engine, name: &str) -> Result<usize, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let modules: PathBuf =
        std::env::var_os("EVENKEEL_PLUGINS_DIST").map_or_else(|| root.join("plugins/dist"), |named| root.join(named));
    let module = modules.join(format!("{name}.wasm"));
    let bytes = fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
    let mut module = Module { engine, name, bytes, loaded: BTreeMap::new() };
    let file = root.join("plugins/cases").join(format!("{name}.toml"));
    evenkeel_plugin_cases::run(&file, |asked| module.answer(asked))
}

#[test]
fn every_builtin_balancer_answers_its_cases_as_written() {
    let engine = Engine::new().expect("an engine");
    for name in builtin::NAMES {
        let asked = run(&engine, name).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(asked > 0, "{name} was asked nothing");
    }
}
