//! Everything that a file must pass before it decides anything.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    file,
    trial::{self, Trial},
};
use crate::balancer::{
    Balancer, Question, builtin,
    trust::{Trust, TrustError},
    wasm::{self, Engine, Limits, LoadError, WasmBalancer},
};

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The system does not let it be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("{}: it is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It is larger than a module may be.
    #[error("{}: it has {size} bytes, and may have {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: usize,
    },
    /// Somebody else could have put it there.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It is no balancer, or not with these settings.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot decide.
    #[error("its trial decision over {nodes} nodes failed: {why}")]
    Trial {
        /// Over how many nodes.
        nodes: usize,
        /// How it failed.
        why: String,
    },
}

/// What a module is loaded with.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The engine it runs in.
    pub engine: Engine,
    /// Section `[balancer NAME]`.
    pub settings: BTreeMap<String, String>,
    /// What it may take.
    pub limits: Limits,
    /// The SHA-256 digests that a file may have, lower-case hexadecimal; any where there are none.
    pub allowed: Vec<String>,
    /// Who may have put a file there.
    pub trust: Trust,
}

impl Terms {
    pub(super) fn load(&self, name: &str, bytes: &[u8]) -> Result<WasmBalancer, LoadError> {
        if !self.allowed.is_empty() {
            let digest = wasm::digest(bytes);
            if !self.allowed.contains(&digest) {
                return Err(LoadError::NotListed { digest });
            }
        }
        WasmBalancer::load(&self.engine, name, bytes, self.settings.clone(), self.limits)
    }
}

/// The bytes of a file that may be trusted.
pub(super) fn read(path: &Path, terms: &Terms) -> Result<(Vec<u8>, file::Mark), Rejection> {
    terms.trust.check(path)?;
    file::read(path, terms.limits.module)
}

/// Makes a balancer of bytes and tries it on the present cluster and on one twice its size.
pub(super) fn admit(
    name: &str,
    bytes: &[u8],
    terms: &Terms,
    cluster: Option<Question>,
) -> Result<(WasmBalancer, Vec<Trial>), Rejection> {
    tried(terms.load(name, bytes)?, cluster)
}

fn tried(balancer: WasmBalancer, cluster: Option<Question>) -> Result<(WasmBalancer, Vec<Trial>), Rejection> {
    let mut trials = Vec::new();
    for question in trial::questions(cluster) {
        let nodes = question.nodes.count();
        trials.push(trial::trial(&balancer, &question).map_err(|why| Rejection::Trial { nodes, why })?);
    }
    Ok((balancer, trials))
}

/// What came of looking at a file that is not in force: [`inspect`].
#[derive(Debug)]
pub struct Inspection {
    /// The module.
    pub balancer: WasmBalancer,
    /// Its size, bytes.
    pub size: usize,
    /// The decisions that it had to pass.
    pub trials: Vec<Trial>,
    /// Decisions over larger clusters, which it may fail.
    pub larger: Vec<(usize, Result<Trial, String>)>,
}

/// The sizes of larger clusters.
const LARGER: [usize; 3] = [100, 1_000, 10_000];

/// The smallest of the larger clusters that are too large for a balancer, and why.
pub(super) fn too_large(balancer: &dyn Balancer) -> Option<(usize, String)> {
    LARGER.iter().find_map(|&nodes| Some((nodes, trial::trial(balancer, &trial::made_up(nodes)).err()?)))
}

/// Does with a file what activation does, and more: it is tried on larger clusters too.
pub fn inspect(path: &Path, name: &str, terms: &Terms) -> Result<Inspection, Rejection> {
    let (bytes, _) = read(path, terms)?;
    Ok(inspected(admit(name, &bytes, terms, None)?, bytes.len()))
}

/// The same of a builtin balancer; none where there is none of that name.
pub fn inspect_builtin(name: &str, terms: &Terms) -> Result<Option<Inspection>, Rejection> {
    let Some(bytes) = builtin::module(name) else { return Ok(None) };
    let balancer = WasmBalancer::load(&terms.engine, name, bytes, terms.settings.clone(), terms.limits)?;
    Ok(Some(inspected(tried(balancer, None)?, bytes.len())))
}

fn inspected((balancer, trials): (WasmBalancer, Vec<Trial>), size: usize) -> Inspection {
    let larger = LARGER.map(|nodes| (nodes, trial::trial(&balancer, &trial::made_up(nodes)))).into();
    Inspection { balancer, size, trials, larger }
}
