//! The time from the request for a session until the first byte from its program.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Cluster, binaries};

use crate::{
    by_hand::{self, PATIENCE, PERIOD},
    hub::Hub,
    target,
};

/// What all our own spans together may take, ms.
const OWN: f64 = 60.0;

/// The small program of the tests, by hand and as a session: what lies between the two is ours.
pub(crate) async fn small(starts: usize) -> Result<Vec<String>> {
    let program = binaries::find("evenkeel-echo")?;
    let cluster = Builder::new(1).echo()?.start().await?;
    let (mut by_hand, mut as_session) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        by_hand.push(by_hand::small(&program).await?);
        as_session.push(session(&cluster, "echo", "").await?);
    }
    cluster.close().await?;
    let (by_hand, as_session) = (median(by_hand), median(as_session));
    let own = as_session - by_hand;
    println!("From the request to the first byte of a program that starts at once, median of {starts}, ms:\n");
    println!("| by hand | as a session | our own |\n|--:|--:|--:|\n| {by_hand:.1} | {as_session:.1} | {own:.1} |");
    Ok(target("our own spans", own, OWN, "ms").into_iter().collect())
}

/// JupyterLab by hand, as a session, and by JupyterHub, one after the other in each round.
pub(crate) async fn jupyterlab(starts: usize, programs: &Path, hub: Option<&Path>) -> Result<()> {
    let cluster = Builder::new(1).programs(programs.to_owned()).start().await?;
    let hub = match hub {
        Some(programs) => Some(Hub::start(programs).await?),
        None => None,
    };
    let (mut by_hand, mut as_session, mut by_hub) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..starts {
        by_hand.push(by_hand::jupyterlab(programs).await?);
        as_session.push(session(&cluster, "jupyterlab", "api/status").await?);
        if let Some(hub) = &hub {
            by_hub.push(hub.server().await?);
        }
    }
    cluster.close().await?;
    let (by_hand, as_session) = (median(by_hand), median(as_session));
    let (by_hub, ratio) = match hub {
        Some(_) => {
            let by_hub = median(by_hub);
            (format!("{by_hub:.0}"), format!("{:.2}", by_hub / by_hand))
        }
        None => ("–".to_owned(), "–".to_owned()),
    };
    println!("\nFrom the request to the first byte of JupyterLab, median of {starts}, ms:\n");
    println!("| by hand | as a session | by JupyterHub | session : by hand | JupyterHub : by hand |");
    println!("|--:|--:|--:|--:|--:|");
    println!("| {by_hand:.0} | {as_session:.0} | {by_hub} | {:.2} | {ratio} |", as_session / by_hand);
    Ok(())
}

/// Asks for a session and for a page of it, until its program answers; then ends it.
async fn session(cluster: &Cluster, kind: &str, page: &str) -> Result<Duration> {
    let client = cluster.client(0)?;
    let start = Instant::now();
    let session = client.launch(kind).await?;
    let path = session.path(page);
    loop {
        let reply = client.get(&path).await?;
        if reply.status.is_success() {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "session {} does not answer", session.id);
        tokio::time::sleep(PERIOD).await;
    }
    let taken = start.elapsed();
    client.end(&session.id).await.with_context(|| session.id.clone())?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    Ok(taken)
}

/// ms.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
