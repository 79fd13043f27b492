//! What there is to be said of the balancers of this daemon.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{Now, Plugins};
use crate::balancer::{builtin, tally::Count, wasm::CONTRACT_VERSION};

/// A balancer, or a file that did not become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name it is selected by.
    pub name: String,
    /// The version of the contract that its module was made for, where that has been read.
    pub contract: Option<String>,
    /// The SHA-256 of its module.
    pub digest: Option<String>,
    /// Where it comes from; none where there is none of that name.
    pub source: Option<Source>,
    /// Its file.
    pub path: Option<PathBuf>,
    /// What it does.
    pub state: State,
    /// Since when it is so; none where that is not known.
    pub since: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What an administrator should know of it, though it decides.
    pub warnings: Vec<String>,
    /// What it has decided.
    pub count: Count,
}

/// Where a balancer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It ships with the program.
    Builtin,
    /// The legacy script.
    Script,
    /// A file in the plugins directory.
    File,
    /// The last good module of that name, which the daemon has kept.
    Kept,
}

/// What a balancer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It decides.
    Active,
    /// It decides in the place of another.
    StandingIn,
    /// It would, should the other fail.
    Ready,
    /// A file that is not taken.
    Refused,
    /// It failed too often in a row, and is not asked for a while.
    SetAside,
    /// It is selected, and there is none of that name.
    Missing,
    /// It is asked beside the one that decides, to be compared.
    Shadow,
    /// It is neither selected nor asked, and could be.
    Available,
}

impl Source {
    /// As the interface names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Script => "script",
            Self::File => "file",
            Self::Kept => "kept",
        }
    }
}

impl State {
    /// As the interface names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::StandingIn => "standing in",
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::SetAside => "set aside",
            Self::Missing => "missing",
            Self::Shadow => "shadow",
            Self::Available => "available",
        }
    }
}

impl Now {
    fn warnings(&self, name: &str) -> Vec<String> {
        let is_file = matches!(self.source, Some(Source::File | Source::Kept));
        let shadows = shadows_builtin(name).filter(|_| is_file);
        shadows.into_iter().chain(self.ahead.as_ref().and_then(|ahead| ahead.warning.clone())).collect()
    }
}

/// What there is to be said of a file that has the name of a builtin balancer.
pub fn shadows_builtin(name: &str) -> Option<String> {
    builtin::module(name).map(|_| format!("it takes the place of the builtin balancer {name}"))
}

impl Plugins {
    /// What there is to be said: of the selected balancer, of what stands in for it, and of a file that is refused.
    pub fn reports(&self) -> Vec<Report> {
        let now = self.lock();
        let selected = self.policy.selected();
        let count = selected.tally.count();
        let digest = selected.balancer.digest().map(ToOwned::to_owned);
        let failing = now.source.is_none() || count.failing;
        let mut reports = vec![Report {
            name: selected.balancer.name().to_owned(),
            source: match now.source {
                Some(Source::Builtin) if digest.is_none() => Some(Source::Script),
                source => source,
            },
            path: match now.source {
                Some(Source::File) => Some(self.path.clone()),
                Some(Source::Kept) => digest.as_deref().map(|digest| self.kept.path(digest)),
                Some(Source::Builtin | Source::Script) | None => None,
            },
            contract: selected.balancer.contract().map(ToOwned::to_owned),
            digest,
            state: match now.source {
                Some(_) if self.policy.other().is_some() && selected.is_set_aside() => State::SetAside,
                Some(Source::Builtin | Source::Script | Source::File) => State::Active,
                Some(Source::Kept) => State::StandingIn,
                None => State::Missing,
            },
            since: Some(now.since),
            last_error: now.problem.clone().or_else(|| count.last_failure.clone()),
            warnings: now.warnings(&self.selection.name),
            count,
        }];
        if let Some(other) = self.policy.other() {
            let count = other.tally.count();
            reports.push(Report {
                name: other.balancer.name().to_owned(),
                contract: other.balancer.contract().map(ToOwned::to_owned),
                digest: other.balancer.digest().map(ToOwned::to_owned),
                source: Some(Source::Builtin),
                path: None,
                state: if failing { State::StandingIn } else { State::Ready },
                since: Some(now.since),
                last_error: count.last_failure.clone(),
                warnings: Vec::new(),
                count,
            });
        }
        reports.extend(now.refused.as_ref().map(|refused| Report {
            name: self.selection.name.clone(),
            contract: None,
            digest: refused.digest.clone(),
            source: Some(Source::File),
            path: Some(self.path.clone()),
            state: State::Refused,
            since: Some(refused.since),
            last_error: Some(refused.why.clone()),
            warnings: Vec::new(),
            count: Default::default(),
        }));
        reports
    }

    /// What else could be selected: the files in the plugins directory, of which nothing has been read, and the builtin
    /// balancers.
    pub fn available(&self) -> Vec<Report> {
        let report = |name: &str, source, path| Report {
            name: name.to_owned(),
            contract: None,
            digest: None,
            source: Some(source),
            path,
            state: State::Available,
            since: None,
            last_error: None,
            warnings: Vec::new(),
            count: Count::default(),
        };
        let file = |name: &String| report(name, Source::File, Some(self.directory().join(format!("{name}.wasm"))));
        let builtin = |name: &str| Report {
            contract: Some(CONTRACT_VERSION.to_owned()),
            digest: builtin::digest(name),
            ..report(name, Source::Builtin, None)
        };
        self.listed().iter().map(file).chain(builtin::NAMES.into_iter().map(builtin)).collect()
    }
}
