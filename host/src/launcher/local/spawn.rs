//! Starting a supervisor and hearing from it.

use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{
    House, adopt, blocking, failed,
    live::{Live, hunt},
    ports::Claim,
    prepare, remove_directory,
};
use crate::{
    config::data_dir::make_closed,
    launcher::{
        Launch, LaunchError, Running, processes,
        record::{MOST_BYTES, Order, ProcessId, Report, State},
    },
};

/// How long a supervisor may take to say whether the program runs. It waits for no answer of the program, only for it to
/// be executed, which a file system may delay.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts a session's program.
pub(super) async fn start(house: &Arc<House>, launch: &Launch) -> Result<Running, LaunchError> {
    house.account.of(&launch.user)?;
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
            blocking(move || remove_directory(&directory)).await?.map_err(failed(context))?;
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
    let places = prepare::Places { directory, log: house.log(launch.id), ports: &house.ports };
    let (order, claim) = prepare::order(launch, &house.account, &house.kinds, &*house.entropy, places)?;
    // A header that cannot be sent is found now, not when the program runs.
    prepare::upstream(order.epoch, directory, &order.service).map_err(failed("the headers of the kind"))?;
    let data = house.data(launch.id);
    make_closed(&data)?;
    std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(failed(directory.display()))?;
    Ok((order, claim))
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
    if let Err(error) = blocking(move || hunt(None, &directory, uid)).await? {
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
    }
}
