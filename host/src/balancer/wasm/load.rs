//! Making a balancer of a module.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    Engine, Limits, Setting, WasmBalancer,
    compiler::{Module, Origin},
    contract,
    policy::Policy,
};
use crate::{balancer::text, config::load_balancer::RESERVED};

/// Settings that a balancer may declare, and bytes kept of a key, a default and a help text.
const SETTINGS: usize = 100;
const KEY: usize = 64;
const VALUE: usize = 1_024;

/// Why a module cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is larger than the limit.
    #[error("the module has {size} bytes, and may have {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// It is something else.
    #[error("the file is not a WebAssembly module: it does not begin as one (was it cut off, or is it text?)")]
    NotWasm,
    /// It is damaged, or not made with the contract.
    #[error("the module is not valid: {0}")]
    Invalid(String),
    /// It wants something that balancers are not given.
    #[error(
        "the module imports {0}, which balancers are not given: they may import evenkeel:balancer/* 1.x, and of WASI 0.2 cli, clocks, filesystem, io, random and sockets"
    )]
    Import(String),
    /// It is made for another major version.
    #[error(
        "the module is made for version {found} of the contract evenkeel:balancer, and this host has {}",
        contract::VERSION
    )]
    Version {
        /// The version it is made for.
        found: String,
    },
    /// It has the contract's version but not its functions, or calls one that a later version added.
    #[error("the module does not fit version {} of the contract evenkeel:balancer: {problem}", contract::VERSION)]
    Contract {
        /// What does not fit.
        problem: String,
    },
    /// It is some other component.
    #[error("the module exports no evenkeel:balancer/policy: it is not a balancer")]
    NoPolicy,
    /// A setting that it does not know.
    #[error("there is no setting {key}; there {}", list(known))]
    Setting {
        /// What was configured.
        key: String,
        /// What it knows.
        known: Vec<Setting>,
    },
    /// It refused its settings.
    #[error("its settings are refused: {why}; there {}", list(known))]
    Refused {
        /// Its own sentence.
        why: String,
        /// What it knows.
        known: Vec<Setting>,
    },
    /// It failed while it was asked about itself.
    #[error("it failed when it was loaded: {0}")]
    Failed(String),
    /// It has a setting whose name is the host's.
    #[error("it declares the setting {0}, and names that begin with {RESERVED} are the host's")]
    Reserved(String),
    /// It could not be compiled, for all that it may be valid.
    #[error("the module cannot be compiled: {0}")]
    Compiler(String),
    /// The administrator does not allow it.
    #[error("its SHA-256 {digest} is not among those in the setting plugins-sha256")]
    NotListed {
        /// The SHA-256 of the module, hexadecimal.
        digest: String,
    },
    /// There is no engine to run it in.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// It is not one of those there are.
    #[error("there is no builtin balancer {name}; there are: {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<&'static str>,
    },
}

impl LoadError {
    /// Not valid, for a reason that may quote the module.
    pub(super) fn invalid(reason: impl std::fmt::Display) -> Self {
        Self::Invalid(text::clean(&reason.to_string(), VALUE))
    }

    /// Not the contract, for a reason that may quote the module.
    pub(super) fn contract(reason: impl std::fmt::Display) -> Self {
        Self::Contract { problem: text::clean(&reason.to_string(), VALUE) }
    }
}

fn list(known: &[Setting]) -> String {
    if known.is_empty() {
        return "are none".to_owned();
    }
    let mut listed = "are".to_owned();
    for (index, setting) in known.iter().enumerate() {
        let separator = if index == 0 { " " } else { "; " };
        let _ = match &setting.default {
            Some(default) => write!(listed, "{separator}{} (default {default}): {}", setting.key, setting.help),
            None => write!(listed, "{separator}{}: {}", setting.key, setting.help),
        };
    }
    listed
}

impl WasmBalancer {
    /// Makes a balancer of a module's bytes: a component, or a core module with its component type inside. The module is
    /// asked for its settings and to check them, within `limits` but for a second at least; nothing of it runs before its imports are known to be
    /// harmless.
    pub fn load(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        settings: BTreeMap<String, String>,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        Self::load_from(Origin::File, engine, name, bytes, settings, limits)
    }

    /// The same, of a module of this origin: what ships with the program is compiled in this process.
    pub(in crate::balancer) fn load_from(
        origin: Origin,
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        settings: BTreeMap<String, String>,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        if bytes.len() > limits.module {
            return Err(LoadError::TooLarge { size: bytes.len(), limit: limits.module });
        }
        let engine = engine.fit(&limits)?;
        let digest = digest(bytes);
        let (pre, export) = unwinding(|| engine.prepare(Module { bytes, digest: &digest, origin }))?;
        let policy = Policy::find(pre.component(), &export)?;
        let mut balancer = Self {
            name: name.to_owned(),
            digest,
            contract: contract::version(&export).to_owned(),
            engine,
            pre,
            policy,
            declared: Vec::new(),
            settings: Arc::new(settings),
            limits,
        };
        balancer.declare()?;
        balancer.check()?;
        Ok(balancer)
    }

    /// Asks it what settings it has, and completes those given with its defaults.
    fn declare(&mut self) -> Result<(), LoadError> {
        let declared = self.ask(Policy::settings).map_err(LoadError::Failed)?;
        if declared.len() > SETTINGS {
            return Err(LoadError::Failed(format!("it has {} settings, and may have {SETTINGS}", declared.len())));
        }
        if let Some(reserved) = declared.iter().find(|setting| setting.key.starts_with(RESERVED)) {
            return Err(LoadError::Reserved(text::clean(&reserved.key, KEY)));
        }
        let mut settings = BTreeMap::clone(&self.settings);
        for setting in &declared {
            if let Some(default) = &setting.default {
                settings.entry(setting.key.clone()).or_insert_with(|| default.clone());
            }
        }
        let unknown = settings.keys().find(|key| declared.iter().all(|setting| setting.key != **key)).cloned();
        self.settings = Arc::new(settings);
        self.declared = declared
            .iter()
            .map(|setting| Setting {
                key: text::clean(&setting.key, KEY),
                default: setting.default.as_deref().map(|default| text::clean(default, VALUE)),
                help: text::clean(&setting.help, VALUE),
            })
            .collect();
        match unknown {
            Some(key) => Err(LoadError::Setting { key: text::clean(&key, KEY), known: self.declared.clone() }),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        self.ask(Policy::check)
            .map_err(LoadError::Failed)?
            .map_err(|why| LoadError::Refused { why: text::clean(&why, VALUE), known: self.declared.clone() })
    }
}

/// A compiler that panics over a module refuses it; the program goes on.
fn unwinding<T>(compile: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(compile))
        .unwrap_or_else(|_| Err(LoadError::invalid("the compiler broke down over it")))
}

/// The SHA-256 of a module, hexadecimal: what it is known by.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
