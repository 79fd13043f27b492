//! What a program does by itself: its own answers, and what runs in its terminals.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::Value;

use super::{House, blocking, failed, live::Live, probe};
use crate::{
    launcher::{
        Activity, LaunchError,
        kind::activity::Probe,
        processes::{Table, terminals::Shells},
    },
    wire::client,
};

/// How long one answer may take, and how long it may be.
const LIMIT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 * 1024;
/// For how long the machine's processes are as they were: many sessions are asked about at once.
const FRESH: Duration = Duration::from_millis(500);

/// The machine's processes, as they were a moment ago.
pub(super) type Processes = tokio::sync::Mutex<Option<(Instant, Arc<Seen>)>>;

/// The machine's processes, and which of them are shells.
#[derive(Debug)]
pub(super) struct Seen {
    table: Table,
    shells: Shells,
}

/// What a program does by itself, and when it last did something.
pub(super) async fn of(house: &House, live: &Live) -> Result<Activity, LaunchError> {
    let mut all = Activity::default();
    let root = live.supervisor_pid();
    let name = &live.running.kind;
    let context = || format!("asking session {} what it does", live.running.id);
    // How such a program is asked is not known any more.
    let kind = house.kinds.get(name).ok_or_else(|| failed(context())(format!("there is no kind {name} any more")))?;
    let seen = processes(house).await?;
    let command = blocking(move || seen.table.in_terminals_below(root, &seen.shells)).await?;
    all.busy = command.map_err(failed(context()))?.map(|command| format!("a terminal runs {command}"));
    for probe in &kind.activity.probes {
        if all.busy.is_some() {
            break;
        }
        all.add(ask(live, probe).await?);
    }
    Ok(all)
}

async fn ask(live: &Live, probe: &Probe) -> Result<Activity, LaunchError> {
    // What listens on nothing cannot be asked.
    let Some(upstream) = &live.upstream else { return Ok(Activity::default()) };
    let context = || format!("asking session {} what it does", live.running.id);
    let (socket, owner) = probe::place(upstream);
    let path = probe.path.render_base_path(&live.running.id.base_path());
    let (status, body) =
        client::get(&socket, &owner, &path, &upstream.headers, LIMIT, MOST_BYTES).await.map_err(failed(context()))?;
    match status {
        StatusCode::OK => {
            let answer: Value = serde_json::from_slice(&body).map_err(failed(context()))?;
            Ok(Activity::read(probe, &answer))
        }
        // It has no such part: terminals can be switched off.
        StatusCode::NOT_FOUND => Ok(Activity::default()),
        status => Err(failed(context())(format!("{path} is answered with status {status}"))),
    }
}

async fn processes(house: &House) -> Result<Arc<Seen>, LaunchError> {
    let mut kept = house.processes.lock().await;
    if let Some((at, seen)) = kept.as_ref()
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(seen));
    }
    let seen = Arc::new(blocking(|| Seen { table: Table::read(), shells: Shells::read() }).await?);
    *kept = Some((Instant::now(), Arc::clone(&seen)));
    Ok(seen)
}
