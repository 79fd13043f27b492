//! The decision cases of `plugins/cases`, run on the modules in the directory that `EVENKEEL_PLUGINS_DIST` names, else on
//! those of `plugins/dist`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use evenkeel_plugin_cases::{Outcome, Question as Asked};

use super::{
    Balancer, builtin, case,
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
            Err(LoadError::Refused { why, .. }) => return Outcome::Refused(why.clone()),
            Err(error) => panic!("{name}: {error}"),
        };
        case::outcome(balancer.rank(&case::question(&asked.nodes, &asked.request)))
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
