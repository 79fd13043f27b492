//! The decision cases of `plugins/cases`, run on the modules in the directory that `EVENKEEL_PLUGINS_DIST` names, else on
//! those of `plugins/dist`. The format of a case is in `plugins/cases/README.md`.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use super::{
    Balancer, Columns, Question, Refusal, Request, columns,
    wasm::{Engine, Limits, LoadError, WasmBalancer},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    balancer: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    nodes: Vec<Node>,
    #[serde(default)]
    request: Asked,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    any_order: bool,
    expect: Expect,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Node {
    name: String,
    address: Option<String>,
    #[serde(default = "four")]
    cores: u32,
    #[serde(default = "normal")]
    weight: u32,
    #[serde(default = "unlimited")]
    capacity: u32,
    #[serde(default)]
    sessions: u32,
    #[serde(default)]
    user_sessions: u32,
    #[serde(default)]
    load1: f64,
    #[serde(default)]
    load5: f64,
    #[serde(default)]
    load15: f64,
    #[serde(default)]
    unseen5: f64,
    #[serde(default)]
    cpus_promised: f64,
    #[serde(default)]
    memory_total: u64,
    #[serde(default)]
    memory_available: u64,
    #[serde(default)]
    memory_promised: u64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
}

fn four() -> u32 {
    4
}

fn normal() -> u32 {
    100
}

fn unlimited() -> u32 {
    u32::MAX
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Asked {
    username: String,
    groups: Vec<String>,
    kind: String,
    cpus: f64,
    memory: u64,
    labels: BTreeMap<String, String>,
    previous_node: Option<String>,
    now: u64,
    seed: u64,
    sequence: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    order: Option<Vec<String>>,
    refused: Option<String>,
    declined: Option<String>,
    failed: Option<String>,
    scores: Option<Vec<f64>>,
    reason: Option<String>,
}

impl Expect {
    /// Exactly one outcome is named, and what goes with an order goes with one.
    fn is_sound(&self) -> bool {
        let outcomes = [self.order.is_some(), self.refused.is_some(), self.declined.is_some(), self.failed.is_some()];
        let alone = outcomes.into_iter().filter(|named| *named).count() == 1;
        alone && (self.order.is_some() || (self.scores.is_none() && self.reason.is_none()))
    }
}

impl Case {
    fn question(&self, nodes: &[Node]) -> Question {
        fn column<T>(nodes: &[Node], pick: impl Fn(&Node) -> T) -> Arc<[T]> {
            nodes.iter().map(pick).collect()
        }
        let Asked { username, groups, kind, cpus, memory, labels, previous_node, now, seed, sequence } = &self.request;
        Question {
            nodes: Arc::new(Columns {
                addresses: column(nodes, |node| node.address.clone().unwrap_or_else(|| format!("{}:8787", node.name))),
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
                username: username.clone(),
                groups: groups.clone(),
                kind: kind.clone(),
                cpus: *cpus,
                memory: *memory,
                labels: labels.clone(),
                previous_node: previous_node.clone(),
                now: *now,
                seed: *seed,
                sequence: *sequence,
            },
        }
    }

    /// The arrangements of its nodes that it is run with.
    fn arrangements(&self) -> Vec<Vec<Node>> {
        let mut arrangements = vec![self.nodes.clone()];
        if self.any_order {
            let reversed = self.nodes.iter().rev().cloned().collect();
            arrangements.push(reversed);
            for places in 1..self.nodes.len() {
                let mut rotated = self.nodes.clone();
                rotated.rotate_left(places);
                arrangements.push(rotated);
            }
        }
        arrangements
    }

    fn run(&self, module: &mut Module<'_>) -> Result<(), String> {
        if !self.expect.is_sound() {
            return Err("`expect` must have one of order, refused, declined, failed".to_owned());
        }
        let names: HashSet<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        if names.len() != self.nodes.len() {
            return Err("two nodes have the same name".to_owned());
        }
        let balancer = match (module.with(&self.settings), &self.expect.refused) {
            (Err(LoadError::Refused(why)), Some(expected)) if why.contains(expected) => return Ok(()),
            (Err(error), _) => return Err(format!("it was not loaded: {error}")),
            (Ok(_), Some(_)) => return Err("its settings were not refused".to_owned()),
            (Ok(balancer), None) => balancer,
        };
        for nodes in self.arrangements() {
            self.decide(balancer, &nodes).map_err(|problem| {
                let shown: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
                format!("shown {shown:?}: {problem}")
            })?;
        }
        Ok(())
    }

    fn decide(&self, balancer: &WasmBalancer, nodes: &[Node]) -> Result<(), String> {
        let outcome = balancer.rank(&self.question(nodes));
        let expected = match (&outcome, &self.expect) {
            (Err(Refusal::Declined(why)), Expect { declined: Some(text), .. })
            | (Err(Refusal::Failed(why)), Expect { failed: Some(text), .. })
                if why.contains(text) =>
            {
                return Ok(());
            }
            (_, Expect { order: Some(order), .. }) => order,
            _ => return Err(format!("it gave {outcome:?}")),
        };
        let answer = outcome.map_err(|refusal| format!("it refused: {refusal}"))?;
        let order: Vec<&str> = answer.order.iter().map(|&index| nodes[index as usize].name.as_str()).collect();
        if order != *expected {
            return Err(format!("its order is {order:?}, and should be {expected:?}"));
        }
        if let Some(scores) = &self.expect.scores {
            self.compare(scores, nodes, answer.scores.as_deref().ok_or("it gave no scores")?)?;
        }
        match &self.expect.reason {
            Some(reason) if answer.reason.as_ref() != Some(reason) => Err(format!("its reason is {:?}", answer.reason)),
            _ => Ok(()),
        }
    }

    fn compare(&self, expected: &[f64], nodes: &[Node], scores: &[f64]) -> Result<(), String> {
        if expected.len() != self.nodes.len() {
            return Err("`scores` must be one a node".to_owned());
        }
        for (node, expected) in self.nodes.iter().zip(expected) {
            let found = nodes.iter().zip(scores).find(|(shown, _)| shown.name == node.name);
            let (_, score) = found.ok_or("a node has no score")?;
            if (score - expected).abs() > 1e-9 * expected.abs().max(1.0) {
                return Err(format!("the score of {} is {score}, and should be {expected}", node.name));
            }
        }
        Ok(())
    }
}

/// A module, compiled once for each of the settings it is tried with.
struct Module<'a> {
    engine: &'a Engine,
    name: &'a str,
    bytes: Vec<u8>,
    loaded: BTreeMap<BTreeMap<String, String>, Result<WasmBalancer, LoadError>>,
}

impl Module<'_> {
    fn with(&mut self, settings: &BTreeMap<String, String>) -> Result<&WasmBalancer, LoadError> {
        let Self { engine, name, bytes, loaded } = self;
        let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
        let loaded = loaded
            .entry(settings.clone())
            .or_insert_with(|| WasmBalancer::load(engine, name, bytes, settings.clone(), limits));
        loaded.as_ref().map_err(LoadError::clone)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a file and returns how many cases it has, and which of them failed and why.
fn run(engine: &Engine, path: &Path, modules: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(path).expect("a readable file");
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let module = modules.join(format!("{}.wasm", file.balancer));
    let bytes = fs::read(&module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    let mut module = Module { engine, name: &file.balancer, bytes, loaded: BTreeMap::new() };
    assert!(!file.case.is_empty(), "{} has no case", path.display());
    let names: HashSet<&str> = file.case.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), file.case.len(), "{}: two cases have the same name", path.display());
    let failures = file.case.iter().filter_map(|case| {
        let problem = case.run(&mut module).err()?;
        Some(format!("{}: {}: {problem}", file.balancer, case.name))
    });
    (file.case.len(), failures.collect())
}

#[test]
fn every_builtin_balancer_answers_its_cases_as_written() {
    let modules = std::env::var_os("EVENKEEL_PLUGINS_DIST")
        .map_or_else(|| root().join("plugins/dist"), |directory| root().join(directory));
    let cases = root().join("plugins/cases");
    let mut files: Vec<PathBuf> = fs::read_dir(&cases)
        .unwrap_or_else(|error| panic!("{}: {error}", cases.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    for name in super::builtin::NAMES {
        assert!(files.contains(&cases.join(format!("{name}.toml"))), "{name} has no cases");
    }
    let engine = Engine::new().expect("an engine");
    let mut run_in_all = 0;
    let mut failures = Vec::new();
    for path in &files {
        let (count, failed) = run(&engine, path, &modules);
        run_in_all += count;
        failures.extend(failed);
    }
    assert!(failures.is_empty(), "{} of {run_in_all} cases failed:\n{}", failures.len(), failures.join("\n"));
}
