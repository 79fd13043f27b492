//! Starting a supervisor and hearing from it.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{
    House, adopt, blocking, failed,
    live::{Live, hunt},
    ports::Claim,
    prepare,
};
use crate::{
    accounts::Account,
    config::data_dir::make_closed,
    launcher::{
        Launch, LaunchError, Running,
        cgroup::Cgroup,
        leftover, processes,
        record::{MOST_BYTES, OWN, Order, ProcessId, Report, State},
    },
};

/// How long a supervisor may take to say whether the program runs. It waits for no answer of the program, only for it to
/// be executed, which a file system may delay.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts a session's program.
pub(super) async fn start(house: &Arc<House>, launch: &Launch) -> Result<Running, LaunchError> {
    house.may_run(launch)?;
    let turn = house.turn(launch.id);
    let _turn = turn.lock().await;
    make_way(house, launch).await?;

    let directory = house.runtime(launch.id);
    let (order, claim) = {
        let (house, launch, directory) = (Arc::clone(house), launch.clone(), directory.clone());
        blocking(move || prepare(&house, &launch, &directory)).await??
    };
    let started = match supervise(&house.supervisor, &directory, &order).await {
        Ok((supervisor, program)) => {
            Live::enter(house, &state(&order, supervisor), program, claim).map_err(failed(directory.display()))
        }
        Err(error) => Err(error),
    };
    match started {
        Ok(live) => Ok(live.running.clone()),
        Err(error) => {
            let context = directory.display().to_string();
            blocking(move || leftover::remove(&directory)).await?.map_err(failed(context))?;
            Err(error)
        }
    }
}

/// A higher epoch takes the place of a lower one; nothing else may be there.
async fn make_way(house: &Arc<House>, launch: &Launch) -> Result<(), LaunchError> {
    let directory = house.runtime(launch.id);
    let known = house.live().contains_key(&launch.id);
    if !known && blocking(move || directory.exists()).await? {
        adopt::session(house, launch.id).await?;
    }
    let other = house.live().get(&launch.id).cloned();
    match other {
        None => Ok(()),
        Some(other) if other.running.epoch < launch.epoch => other.stop(None).await,
        Some(other) => {
            let context = format!("starting session {} under epoch {}", launch.id, launch.epoch);
            Err(failed(context)(format!("it runs under epoch {} already", other.running.epoch)))
        }
    }
}

fn prepare(house: &House, launch: &Launch, directory: &Path) -> Result<(Order, Option<Claim>), LaunchError> {
    let places = prepare::Places {
        directory,
        log: house.log(launch.id),
        ports: &house.ports,
        cgroups: house.cgroups.as_deref(),
    };
    let (order, claim) = prepare::order(launch, &house.options, &house.kinds, &*house.entropy, places)?;
    // A header that cannot be sent is found now, not when the program runs.
    prepare::upstream(order.epoch, directory, &order.service).map_err(failed("the headers of the kind"))?;
    let data = house.data(launch.id);
    make_closed(&data)?;
    make_directories(directory, &launch.account).map_err(failed(directory.display()))?;
    Ok((order, claim))
}

/// Makes the session's directory, through which its user can pass to the one in it that is their own, and into which
/// nobody else gets. Nothing else in it can be opened by anybody but the daemon.
fn make_directories(directory: &Path, account: &Account) -> io::Result<()> {
    let make = |path: &Path, mode: u32| {
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        // Whatever the daemon's own mask is.
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    };
    let is_own = account.uid == geteuid().as_raw();
    make(directory, if is_own { 0o700 } else { 0o711 })?;
    let own = directory.join(OWN);
    make(&own, 0o700)?;
    if is_own { Ok(()) } else { chown(&own, Some(account.uid), Some(account.gid)) }
}

/// Starts a supervisor; the process ids of both once the program runs.
async fn supervise(executable: &Path, directory: &Path, order: &Order) -> Result<(ProcessId, ProcessId), LaunchError> {
    let context = || format!("starting the supervisor {}", executable.display());
    let mut command = Command::new(executable);
    command.arg("supervisor").arg(directory).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = tokio::process::Command::from(command).spawn().map_err(failed(context()))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        let (Some(mut input), Some(output)) = (input, output) else {
            return Err(io::Error::other("it has no pipes"));
        };
        input.write_all(&serde_json::to_vec(order)?).await?;
        drop(input);
        let mut line = Vec::new();
        BufReader::new(output).take(MOST_BYTES).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::Error::other("it ended without a word"));
        }
        Ok(serde_json::from_slice::<Report>(&line)?)
    };
    let talk = tokio::time::timeout(LIMIT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let problem = match talk {
        Ok(Report::Started { program, supervisor }) => {
            // Reaped when it ends; after a restart of the daemon that is the system's.
            tokio::spawn(async move { child.wait().await });
            return Ok((supervisor, program));
        }
        Ok(Report::Failed { program, problem }) => LaunchError::Program { program, problem },
        Ok(Report::Broken { context, problem }) => LaunchError::Supervisor { context, problem },
        Err(error) => failed(context())(error),
    };
    if let Some(pid) = child.id() {
        blocking(move || processes::kill_below(pid.cast_signed())).await?;
    }
    let _ = child.kill().await;
    // What it started in between is nobody's child any more, but carries the session's mark.
    let (directory, uid) = (directory.to_owned(), order.service.uid);
    let cgroup = order.cgroup.as_ref().map(|order| order.path.clone());
    let clear = move || {
        let hunted = hunt(None, &directory, uid, cgroup.as_deref());
        hunted.and(cgroup.map_or(Ok(()), |path| Cgroup::at(&path).remove()))
    };
    if let Err(error) = blocking(clear).await? {
        tracing::warn!(session = %order.session, %error, "launcher.start: what is left of the failed start");
    }
    Err(problem)
}

fn state(order: &Order, supervisor: ProcessId) -> State {
    State {
        session: order.session,
        epoch: order.epoch,
        user: order.user.clone(),
        kind: order.kind.clone(),
        boot: String::new(),
        supervisor,
        program: None,
        stop: order.stop,
        service: order.service.clone(),
        cgroup: order.cgroup.as_ref().map(|order| order.path.clone()),
    }
}
