//! The module that an author's command is about: a file, a builtin balancer by its name, or one that has decided on this
//! node by its SHA-256.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    io::Read,
    path::Path,
};

use anyhow::{Context, anyhow, ensure};
use evenkeel_plugin_cases::{Case, File as Cases, Node, Outcome, Question as Asked};

use crate::{
    balancer::{
        Hearing, builtin, case,
        plugins::{Terms, is_digest, kept_module},
        wasm::{Engine, LoadError, WasmBalancer},
    },
    cli::balancers,
    config::Config,
};

/// A module's bytes.
#[derive(Debug)]
pub(super) struct Module {
    /// What its section of settings is called.
    pub(super) name: String,
    bytes: Cow<'static, [u8]>,
}

impl Module {
    /// A file; where there is none, the builtin balancer of that name, or the module that has been kept of that SHA-256.
    pub(super) fn open(file: &Path, config: &Config, engine: &Engine) -> anyhow::Result<Self> {
        let text = file.to_str().filter(|_| !file.is_file());
        if let Some(builtin) = text.and_then(builtin) {
            return Ok(builtin);
        }
        match text.and_then(|digest| Some((digest, kept_module(&balancers::kept(config), digest)?))) {
            Some((digest, kept)) => {
                let context = || format!("this node keeps no module of the SHA-256 {digest}");
                let bytes = fs::read(kept).with_context(context)?;
                Ok(Self { name: digest.to_owned(), bytes: bytes.into() })
            }
            None => Self::read(file, config, engine),
        }
    }

    /// What is known by its SHA-256 alone has the name of the balancer that it was.
    pub(super) fn known_as(self, balancer: &str) -> Self {
        if is_digest(&self.name) { self.named(balancer) } else { self }
    }

    /// A file.
    pub(super) fn read(file: &Path, config: &Config, engine: &Engine) -> anyhow::Result<Self> {
        let name = name(file)?;
        let limit = balancers::terms(config, &name, engine.clone()).limits.module;
        let context = || file.display().to_string();
        ensure!(!file.is_dir(), "{}: this is a directory; give the module in it", file.display());
        let mut bytes = Vec::new();
        // One byte more tells that it is too large.
        let opened = File::open(file).with_context(context)?;
        opened.take(limit as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
        ensure!(bytes.len() <= limit, "{}: it may have {limit} bytes, and has more", file.display());
        Ok(Self { name, bytes: bytes.into() })
    }

    /// Under another name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Makes a balancer of it.
    pub(super) fn load(&self, terms: &Terms) -> Result<WasmBalancer, LoadError> {
        WasmBalancer::load(&terms.engine, &self.name, &self.bytes, terms.settings.clone(), terms.limits)
    }
}

/// The module of a builtin balancer.
pub(super) fn builtin(name: &str) -> Option<Module> {
    builtin::module(name).map(|bytes| Module { name: name.to_owned(), bytes: bytes.into() })
}

/// What a file `NAME.wasm` would be selected by.
pub(super) fn name(file: &Path) -> anyhow::Result<String> {
    let name = file.file_stem().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("{}: the file needs a name: NAME.wasm", file.display()))?.to_owned())
}

/// A file of cases; the error is one line.
pub(super) fn cases(file: &Path) -> anyhow::Result<Cases> {
    Cases::read(file).map_err(|error| {
        // What TOML says of a place first, and of what is wrong there last; between them it draws the line.
        match (error.lines().next(), error.lines().last()) {
            (Some(place), Some(problem)) if place != problem => anyhow!("{place}: {problem}"),
            _ => anyhow!(error),
        }
    })
}

/// A module that is asked cases: compiled once for each of the settings that they have.
#[derive(Debug)]
pub(super) struct Candidate {
    module: Module,
    terms: Terms,
    loaded: BTreeMap<BTreeMap<String, String>, Result<WasmBalancer, LoadError>>,
}

/// What came of asking a case.
#[derive(Debug)]
pub(super) struct Asking {
    /// What was asked.
    pub(super) asked: Asked,
    /// What is compared with what the case expects.
    pub(super) outcome: Outcome,
    /// The decision; none where the settings were refused.
    pub(super) hearing: Option<Hearing>,
}

impl Candidate {
    /// `terms` has the settings of cases that have none.
    pub(super) fn new(module: Module, terms: Terms) -> Self {
        Self { module, terms, loaded: BTreeMap::new() }
    }

    /// Asks a case with its nodes in some order. An error says that the module cannot be used, at least with these settings.
    pub(super) fn ask(&mut self, case: &Case, nodes: Vec<Node>) -> Result<Asking, LoadError> {
        let settings = if case.settings.is_empty() { &self.terms.settings } else { &case.settings };
        let loaded = match self.loaded.entry(settings.clone()) {
            Entry::Occupied(loaded) => loaded.into_mut(),
            Entry::Vacant(place) => {
                let terms = Terms { settings: settings.clone(), ..self.terms.clone() };
                place.insert(self.module.load(&terms))
            }
        };
        let asked = Asked::new(nodes, case);
        let balancer = match loaded {
            Ok(balancer) => balancer,
            Err(LoadError::Refused { why, .. }) => {
                return Ok(Asking { asked, outcome: Outcome::Refused(why.clone()), hearing: None });
            }
            Err(error) => return Err(error.clone()),
        };
        let hearing = Hearing::patient(balancer, &case::question(&asked.nodes, &asked.request));
        let outcome = case::outcome(hearing.outcome.clone());
        Ok(Asking { asked, outcome, hearing: Some(hearing) })
    }
}
