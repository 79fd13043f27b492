//! From a kind and a session to the order that a supervisor gets.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use nix::unistd::{Uid, User};

use super::{
    job,
    ports::{Claim, Ports},
};
use crate::{
    domain::Entropy,
    launcher::{
        Address, Launch, LaunchError, Upstream,
        kind::{Kind, Kinds, Listen, Template, Values},
        record::{MARK, Order, OrderFile, PROGRAM, Service, StopOrder},
    },
};

/// How large a log grows before it is rotated.
const LOG_LIMIT: u64 = 2 << 20;
/// The same of a job, whose log is all there is to see of it.
const JOB_LOG_LIMIT: u64 = 16 << 20;
/// What a program gets of the daemon's own environment, beside PATH.
const INHERITED: [&str; 4] = ["LANG", "LC_ALL", "TZ", "TMPDIR"];

/// A Unix account, as far as a program of it needs to know.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    home: PathBuf,
    shell: PathBuf,
}

impl Account {
    /// The daemon's own. Asks the system's user database.
    pub(super) fn own() -> io::Result<Self> {
        let uid = Uid::effective();
        let user = User::from_uid(uid)?.ok_or_else(|| io::Error::other(format!("the user id {uid} has no name")))?;
        Ok(Self { name: user.name, uid: uid.as_raw(), home: user.dir, shell: user.shell })
    }

    /// Whose programs are started as whom. A daemon has its own user's sessions only: starting them as others takes root
    /// and belongs here.
    pub(super) fn of(&self, user: &str) -> Result<&Self, LaunchError> {
        if user == self.name {
            return Ok(self);
        }
        Err(LaunchError::User(format!("this node runs sessions of {} only, not of {user}", self.name)))
    }
}

/// Where things are.
pub(super) struct Places<'a> {
    /// The session's runtime directory.
    pub(super) directory: &'a Path,
    /// Its log.
    pub(super) log: PathBuf,
    /// The ports that sessions of this daemon have.
    pub(super) ports: &'a Ports,
}

/// Makes the order, and claims a port where the kind wants one. Looks at the file system and binds a port for a moment.
pub(super) fn order(
    launch: &Launch,
    account: &Account,
    kinds: &Kinds,
    entropy: &dyn Entropy,
    places: Places<'_>,
) -> Result<(Order, Option<Claim>), LaunchError> {
    let kind = &launch.kind;
    let claim = match kind.listen {
        Listen::Unix | Listen::Nothing => None,
        Listen::Port => Some(places.ports.choose().map_err(|error| LaunchError::Supervisor {
            context: "looking for a free port of 127.0.0.1".to_owned(),
            problem: error.to_string(),
        })?),
    };
    let port = claim.as_ref().map(|claim| claim.port);
    let values = Values {
        id: launch.id.to_string(),
        user: account.name.clone(),
        home: text(&account.home)?,
        base_path: launch.id.base_path(),
        socket: text(&places.directory.join(PROGRAM))?,
        port: port.map(|port| port.to_string()).unwrap_or_default(),
        secret: BASE64_URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()),
        runtime_dir: text(places.directory)?,
    };
    let work = match &launch.job {
        Some(job) => job::work(job, places.directory)?,
        None => service_work(kind, kinds, &values)?,
    };
    let ready = kind.ready.as_ref();
    let service = Service {
        listens: kind.listen != Listen::Nothing,
        port,
        base_path: kind.base_path,
        headers: kind
            .headers
            .iter()
            .map(|(name, template)| (name.as_str().to_owned(), template.render(&values)))
            .collect(),
        uid: account.uid,
        ready_path: ready.map(|ready| ready.path.render(&values)).unwrap_or_default(),
        ready_statuses: ready.map(|ready| ready.statuses.clone()).unwrap_or_default(),
        ready_seconds: ready.map(|ready| ready.limit.as_secs()).unwrap_or_default(),
    };
    let order = Order {
        session: launch.id,
        epoch: launch.epoch,
        user: account.name.clone(),
        kind: kind.name.clone(),
        program: work.program,
        arguments: work.arguments,
        environment: environment(launch, account, kinds, &values)?,
        directory: work.directory.unwrap_or_else(|| kind.directory.render(&values).into()),
        log: places.log,
        log_limit: if launch.job.is_some() { JOB_LOG_LIMIT } else { LOG_LIMIT },
        stop: StopOrder {
            signal: kind.stop.signal as i32,
            grace_ms: u64::try_from(kind.stop.grace.as_millis()).unwrap_or(u64::MAX),
        },
        service,
        files: work.files.into_iter().chain(own_files(kind, &values)).collect(),
    };
    Ok((order, claim))
}

fn own_files(kind: &Kind, values: &Values) -> impl Iterator<Item = OrderFile> {
    let file =
        |(name, content): (&String, &Template)| OrderFile { name: name.clone(), content: content.render(values) };
    kind.files.iter().map(file)
}

/// What is executed, and with what.
pub(super) struct Work {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Where that is not its kind's.
    pub(super) directory: Option<PathBuf>,
    pub(super) files: Vec<OrderFile>,
}

fn service_work(kind: &Kind, kinds: &Kinds, values: &Values) -> Result<Work, LaunchError> {
    let program = kinds.program(kind).ok_or_else(|| LaunchError::Program {
        program: kind.program.clone(),
        problem: format!("not found on this node; looked in {}", kinds.search_path().to_string_lossy()),
    })?;
    let arguments = kind.arguments.iter().map(|template| template.render(values)).collect();
    Ok(Work { program, arguments, directory: None, files: Vec::new() })
}

/// What the program's environment is: nothing of the daemon's but what everybody's shell has.
fn environment(
    launch: &Launch,
    account: &Account,
    kinds: &Kinds,
    values: &Values,
) -> Result<BTreeMap<String, String>, LaunchError> {
    let search = launch.kind.search.iter().cloned().chain(std::env::split_paths(kinds.search_path()));
    let path = std::env::join_paths(search).unwrap_or_else(|_| kinds.search_path().to_owned());
    let inherited = INHERITED.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let mut environment: BTreeMap<String, String> = inherited.collect();
    environment.extend([
        ("PATH".to_owned(), text(Path::new(&path))?),
        ("HOME".to_owned(), values.home.clone()),
        ("USER".to_owned(), account.name.clone()),
        ("LOGNAME".to_owned(), account.name.clone()),
        ("SHELL".to_owned(), text(&account.shell)?),
        ("EVENKEEL_SESSION".to_owned(), values.id.clone()),
    ]);
    environment.extend(launch.kind.environment.iter().map(|(name, text)| (name.clone(), text.render(values))));
    if let Some(job) = &launch.job {
        environment.extend(job.environment.clone());
    }
    environment.insert(MARK.to_owned(), values.runtime_dir.clone());
    Ok(environment)
}

fn text(path: &Path) -> Result<String, LaunchError> {
    let as_text = |path: &OsStr| path.to_str().map(str::to_owned);
    as_text(path.as_os_str()).ok_or_else(|| LaunchError::Supervisor {
        context: path.display().to_string(),
        problem: "is not UTF-8".to_owned(),
    })
}

/// What the proxy needs of a service; none of what listens on nothing.
pub(super) fn upstream(
    epoch: crate::domain::Epoch,
    directory: &Path,
    service: &Service,
) -> io::Result<Option<Upstream>> {
    if !service.listens {
        return Ok(None);
    }
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::from_str(name).map_err(io::Error::other)?;
        let mut value = HeaderValue::from_str(value).map_err(io::Error::other)?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    Ok(Some(Upstream {
        epoch,
        address: service.port.map_or_else(|| Address::Unix(directory.join(PROGRAM)), Address::Loopback),
        base_path: service.base_path,
        headers: service.headers.iter().map(header).collect::<io::Result<_>>()?,
        uid: service.uid,
    }))
}
