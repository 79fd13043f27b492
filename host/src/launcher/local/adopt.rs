//! Finding the programs of an earlier daemon.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    House, blocking, control, failed,
    live::{Live, Remains, read_exit},
};
use crate::{
    domain::SessionId,
    launcher::{
        Exit, LaunchError, leftover, processes,
        record::{self, EXIT, ProcessId, STATE, State},
        supervisor::protocol::Request,
    },
};

/// How long a supervisor may take to say what it is about: one that was being started when its daemon died, or that is
/// about to end.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// The sessions that have a directory.
pub(super) fn directories(runtime_dir: &Path) -> io::Result<Vec<SessionId>> {
    let entries = std::fs::read_dir(runtime_dir)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Takes over a session's program, or clears away what is left of it.
pub(super) async fn session(house: &Arc<House>, id: SessionId) -> Result<(), LaunchError> {
    let directory = house.runtime(id);
    let context = directory.display().to_string();
    let Some(state) = state(&directory).await.map_err(failed(&context))? else {
        // No program starts before its state is written, and none can be now: the directory is gone.
        return blocking(move || leftover::remove(&directory)).await?.map_err(failed(context));
    };
    let deadline = Instant::now() + PATIENCE;
    let mut program = state.program;
    while state.boot == processes::boot() {
        match control::ask(&directory, &Request::Hello).await {
            Ok(answer) => {
                program = answer.program.or(program);
                if let Some(program) = program {
                    tracing::info!(session = %id, epoch = %state.epoch, pid = program.pid, "its program was found again");
                    return enter(house, &state, program).map_err(failed(context));
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            Err(error) => {
                let (supervisor, exit) = (state.supervisor, directory.join(EXIT));
                let over = blocking(move || exit.exists() || processes::is_gone(supervisor)).await?;
                if over {
                    break;
                }
                if Instant::now() >= deadline {
                    // It is there, and so is the program: no restart of a daemon ends a session.
                    tracing::warn!(session = %id, %error, "its supervisor does not answer");
                    let Some(program) = program else { break };
                    return enter(house, &state, program).map_err(failed(context));
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let remains = Remains {
        epoch: state.epoch,
        uid: state.service.uid,
        supervisor: state.supervisor,
        program: program.filter(|_| state.boot == processes::boot()),
        data: house.data(id),
        cgroup: state.cgroup.clone().filter(|_| state.boot == processes::boot()),
        directory,
        unseen: if state.boot == processes::boot() { Exit::Unknown } else { Exit::MachineRestart },
    };
    let (cleared, exit) = blocking(move || {
        let exit = read_exit(&remains.directory.join(EXIT), remains.epoch).ok().flatten();
        remains.clear(exit)
    })
    .await?;
    tracing::info!(session = %id, epoch = %state.epoch, %exit, "its program ended while no daemon looked");
    cleared.map_err(failed(context))
}

fn enter(house: &Arc<House>, state: &State, program: ProcessId) -> io::Result<()> {
    let port = state.service.port.and_then(|port| house.ports.claim(port));
    Live::enter(house, state, program, port).map(drop)
}

/// The state that the supervisor wrote, which may be doing so just now.
async fn state(directory: &Path) -> io::Result<Option<State>> {
    let deadline = Instant::now() + PATIENCE / 5;
    loop {
        let path = directory.join(STATE);
        let state = blocking(move || record::read::<State>(&path)).await.map_err(io::Error::other)?;
        match state {
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            state => return state,
        }
    }
}
