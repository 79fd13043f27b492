//! What a node does about the sessions that are its own: takes up reservations, watches programs, does what is wanted.
//!
//! Each start is in the hand of one task from its claim to its end. The tasks end with the daemon; the programs do not.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::{Accounts, Admission},
    domain::{Clock, IdleRules, NodeId, Peer, Session, State, Wanted},
    launcher::{Exit, Kinds, LaunchError, Launcher},
    store::{Report, Route, Store},
};

use super::{Mirror, Parts, Peers, Traffic, placement::Placer, traffic::Metering};

mod account;
mod adoption;
mod carried;
mod drain;
mod hands;
mod idle;
mod jobs;
mod reports;
mod retry;
mod starts;
mod stranded;
mod tidy;
mod turns;

pub use jobs::JobLogs;

use carried::Carried;
use hands::{Hand, Hands};
use starts::{Place, Starts};
use turns::{Line, Turns};

/// How often what runs and what the store says are compared.
const RECONCILE: Duration = Duration::from_secs(10);

/// How long after a failure that is tried again.
const RECONCILE_AGAIN: Duration = Duration::from_secs(1);

/// How often is looked for what was kept for long enough.
const SWEEP: Duration = Duration::from_secs(10 * 60);

/// How many nudges of sessions that are asked together are under way.
const NUDGES_AT_ONCE: usize = 8;

/// How many lines of its log a failed session is shown with.
const LOG_LINES: usize = 20;

/// One node's side of sessions.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) node: NodeId,
    here: Peer,
    store: Arc<dyn Store>,
    launcher: Arc<dyn Launcher>,
    kinds: Arc<Kinds>,
    accounts: Arc<dyn Accounts>,
    admission: Admission,
    mirror: Arc<Mirror>,
    peers: Arc<dyn Peers>,
    placer: Placer,
    pub(super) traffic: Arc<Traffic>,
    idle: IdleRules,
    clock: Arc<dyn Clock>,
    /// When this daemon began, by the steady clock.
    began: Duration,
    activity_file: PathBuf,
    carried: Carried,
    hands: Hands,
    users: Turns,
    starts: Starts,
    job_logs: JobLogs,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Owner {
    pub(super) fn new(parts: &Parts, placer: Placer) -> Self {
        Self {
            node: parts.node,
            here: parts.here.clone(),
            store: Arc::clone(&parts.store),
            launcher: Arc::clone(&parts.launcher),
            kinds: Arc::clone(&parts.kinds),
            accounts: Arc::clone(&parts.accounts),
            admission: parts.admission.clone(),
            mirror: Arc::clone(&parts.mirror),
            peers: Arc::clone(&parts.peers),
            placer,
            traffic: Arc::clone(&parts.traffic),
            idle: parts.idle.clone(),
            began: parts.clock.steady(),
            clock: Arc::clone(&parts.clock),
            activity_file: parts.activity_file.clone(),
            carried: Carried::default(),
            hands: Hands::default(),
            users: Turns::default(),
            starts: Starts::new(parts.start_limit),
            job_logs: parts.job_logs,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Adopts what runs, then takes up what heartbeats bring, until stopped.
    pub(super) async fn run(self: &Arc<Self>, mut pending: mpsc::Receiver<Vec<Session>>, stop: &CancellationToken) {
        self.take_over().await;
        let mut compare_at = Instant::now();
        let mut away = false;
        let mut sweep_at = Instant::now() + RECONCILE;
        loop {
            if sweep_at <= Instant::now() {
                let Some(swept) = stop.run_until_cancelled(self.sweep(self.job_logs.kept.unwrap_or_default())).await
                else {
                    break;
                };
                if let Err(error) = swept {
                    tracing::debug!("cannot tell which logs were kept for long enough: {error}");
                }
                sweep_at = Instant::now() + SWEEP;
            }
            if compare_at <= Instant::now() {
                let Some(compared) = stop.run_until_cancelled(self.reconcile()).await else { break };
                if let Err(error) = &compared
                    && !away
                {
                    tracing::warn!(
                        "cannot compare what runs here with the store, tried again until it answers: {error}"
                    );
                }
                away = compared.is_err();
                compare_at = Instant::now() + if away { RECONCILE_AGAIN } else { RECONCILE };
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(rows) = pending.recv() => rows.into_iter().for_each(|row| self.look(row)),
                () = tokio::time::sleep_until(compare_at.into()) => {}
            }
        }
        self.hand_over().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Does what a row asks of this node.
    pub(super) fn look(self: &Arc<Self>, row: Session) {
        for epoch in self.hands.epochs(row.id) {
            if epoch < row.epoch {
                // Whoever has it in hand is told by the program's end and by the refusal of its report.
                let owner = Arc::clone(self);
                self.spawn(async move { owner.stop_superseded(row.id, epoch).await });
            }
        }
        if row.node != self.node {
            return;
        }
        match (row.state, row.claimed, row.wanted) {
            (State::Starting, false, None) => {
                let Some(hand) = self.hands.take(row.id, row.epoch) else { return };
                let (owner, line) = (Arc::clone(self), self.users.line_up(&row.user));
                self.spawn(async move { owner.take_up(row, line, hand).await });
            }
            (State::Starting | State::Active, true, Some(wanted)) => match self.hands.take(row.id, row.epoch) {
                Some(hand) => {
                    let owner = Arc::clone(self);
                    self.spawn(async move { owner.stop_as_wanted(&row, wanted, hand).await });
                }
                None => self.hands.want(row.id, row.epoch, wanted),
            },
            // It was over before its start had its turn, which it loses.
            (State::Ended | State::Suspended, false, _) if !self.hands.epochs(row.id).is_empty() => {
                let wanted = if row.state == State::Ended { Wanted::Ended } else { Wanted::Suspended };
                self.hands.want(row.id, row.epoch, wanted);
            }
            // It ended without running, so that no task has it in hand.
            (State::Ended, ..) if self.hands.epochs(row.id).is_empty() => {
                let owner = Arc::clone(self);
                self.spawn(async move { owner.part_with(&row).await });
            }
            // Whoever watches a live program has it in hand; comparing what runs finds the rest.
            _ => {}
        }
    }

    /// Has a session's node look at its row now: this one does, another is nudged. A nudge that is lost costs no more
    /// than the time to the node's next heartbeat.
    pub(super) fn tell(self: &Arc<Self>, session: &Session, peer: Option<Peer>) {
        if session.node == self.node {
            return self.look(session.clone());
        }
        let (owner, id, node) = (Arc::clone(self), session.id, session.node);
        self.spawn(async move {
            let peer = match peer {
                Some(peer) => Ok(peer),
                None => super::peer(owner.store.as_ref(), node).await,
            };
            match peer {
                Ok(peer) => super::nudge(owner.peers.as_ref(), &peer, id).await,
                Err(error) => tracing::debug!(session = %id, %node, "not nudged: {error}"),
            }
        });
    }

    /// As [`Self::tell`], for many at once.
    pub(super) fn tell_all(self: &Arc<Self>, sessions: Vec<Session>) {
        let (here, elsewhere): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|session| session.node == self.node);
        here.into_iter().for_each(|session| self.look(session));
        if elsewhere.is_empty() {
            return;
        }
        let owner = Arc::clone(self);
        self.spawn(async move {
            let Ok(nodes) = owner.store.nodes().await else { return };
            let nudge = async |session: Session| {
                if let Some(node) = nodes.iter().find(|node| node.id == session.node) {
                    super::nudge(owner.peers.as_ref(), &node.peer(), session.id).await;
                }
            };
            stream::iter(elsewhere).for_each_concurrent(NUDGES_AT_ONCE, nudge).await;
        });
    }

    /// Takes up a reservation when it is its turn: claims it, starts its program, sees it through.
    async fn take_up(self: &Arc<Self>, session: Session, line: Line, mut hand: Hand) {
        let queue = async {
            // A home that hangs holds up a start of its own user, and no more than one of them; a directory service that
            // hangs holds up nobody of whom it has told.
            let turn = line.await;
            let account = self.account(&session).await;
            (turn, account, self.starts.line_up().await)
        };
        let (turn, account, place) = tokio::select! {
            first = queue => first,
            _ = hand.wanted() => return self.leave_queue(&session, &hand).await,
        };
        match self.store.claim(session.id, session.epoch, self.node).await {
            Ok(true) => {}
            Ok(false) => return self.leave_queue(&session, &hand).await,
            // The next heartbeat brings it again, or comparing what runs with what is claimed.
            Err(error) => return tracing::warn!(session = %session.id, "not claimed: {error}"),
        }
        let launch = match account {
            Ok(account) => self.launch(&session, account).await,
            Err(failure) => Err(failure),
        };
        let launch = match launch {
            Ok(launch) => launch,
            Err(failure) => {
                drop(place);
                return self.try_next(&session, &failure, hand).await;
            }
        };
        let started = self.launcher.start(&launch).await;
        drop(turn);
        match started {
            Ok(program) => self.see_through(&session, program.pid, hand, place).await,
            Err(error) => {
                drop(place);
                self.launch_has_failed(&session, &error, hand).await;
            }
        }
    }

    /// A start that is not to be made any more. Of one that was ended, an earlier start may have left something here.
    async fn leave_queue(&self, session: &Session, hand: &Hand) {
        tracing::debug!(session = %session.id, epoch = %session.epoch, "not to be claimed");
        if hand.wanted_now() == Some(Wanted::Ended) {
            self.launcher.forget(session.id).await;
        }
    }

    /// Sees a program that has been started through to its end.
    async fn see_through(self: &Arc<Self>, session: &Session, pid: u32, mut hand: Hand, place: Option<Place>) {
        if self.report(session, Report::Started { pid }).await.is_none() {
            return self.stop_superseded(session.id, session.epoch).await;
        }
        self.note_route(session, &self.here);
        let ready = tokio::select! {
            ready = self.ready(session, place) => ready,
            wanted = hand.wanted() => return self.stop_as_wanted(session, wanted, hand).await,
        };
        if let Err(failure) = ready {
            self.stop_superseded(session.id, session.epoch).await;
            return self.start_has_failed(session, &failure, hand).await;
        }
        // Before anybody is led there.
        let metering = self.meter(session);
        if self.report_active(session).await.is_none() {
            return self.stop_superseded(session.id, session.epoch).await;
        }
        tracing::info!(session = %session.id, epoch = %session.epoch, pid, "active");
        self.watch(session, hand, metering).await;
    }

    /// Reports that a program can be used, and lets the proxy know: at once, for nobody is to wait for the store, and once
    /// more then, since the mirror may have read the store in between.
    async fn report_active(&self, session: &Session) -> Option<State> {
        let active = Session { state: State::Active, ..session.clone() };
        self.note_route(&active, &self.here);
        let taken = self.report(session, Report::Active).await;
        if taken == Some(State::Active) {
            self.note_route(&active, &self.here);
        }
        taken
    }

    /// Waits until the program answers; until then it keeps its place in the start queue.
    async fn ready(&self, session: &Session, place: Option<Place>) -> Result<(), String> {
        // A job has nothing to answer, and may be over already.
        if session.is_job {
            return Ok(());
        }
        let ready = self.launcher.ready(session.id, session.epoch);
        let result = match place {
            Some(place) => place.until(ready).await,
            None => ready.await,
        };
        result.map_err(|error| error.to_string())
    }

    /// Watches an active program to its end.
    async fn watch(self: &Arc<Self>, session: &Session, mut hand: Hand, _metering: Metering) {
        tokio::select! {
            exit = self.launcher.watch(session.id, session.epoch) => match hand.wanted_now() {
                Some(wanted) => self.stop_as_wanted(session, wanted, hand).await,
                None => self.conclude(session, &exit).await,
            },
            wanted = hand.wanted() => self.stop_as_wanted(session, wanted, hand).await,
        }
    }

    /// A program that did not get ready is tried elsewhere, unless it was stopped because that was wanted.
    async fn start_has_failed(self: &Arc<Self>, session: &Session, failure: &str, hand: Hand) {
        match hand.wanted_now() {
            Some(wanted) => self.stop_as_wanted(session, wanted, hand).await,
            None => self.try_next(session, failure, hand).await,
        }
    }

    /// Stops a program because it is to be suspended or ended.
    async fn stop_as_wanted(&self, session: &Session, mut wanted: Wanted, mut hand: Hand) {
        let (id, epoch) = (session.id, session.epoch);
        let stopped = match wanted {
            Wanted::Suspended => self.suspend(session, &mut hand).await,
            Wanted::Ended => self.launcher.stop(id, epoch).await,
        };
        if let Err(error) = stopped {
            // It is still wanted, so that the next heartbeat brings it again.
            return tracing::error!(session = %id, %epoch, "cannot stop the program: {error}");
        }
        if hand.wanted_now() == Some(Wanted::Ended) {
            wanted = Wanted::Ended;
        }
        self.mirror.remove(id, epoch);
        tracing::info!(session = %id, %epoch, "{} as wanted", wanted.as_str());
        let report = match wanted {
            Wanted::Suspended => Report::Suspended,
            Wanted::Ended => Report::Ended,
        };
        self.report_end(session, report).await;
    }

    /// Stops a program the way it suspends itself by, or, where it is to end meanwhile, the way it ends by.
    async fn suspend(&self, session: &Session, hand: &mut Hand) -> Result<(), LaunchError> {
        let (id, epoch) = (session.id, session.epoch);
        tokio::select! {
            suspended = self.launcher.suspend(id, epoch) => suspended,
            () = hand.is_to_end() => self.launcher.stop(id, epoch).await,
        }
    }

    /// Reports how a program ended by itself. Where something was wanted of it, the store takes any end for that.
    async fn conclude(&self, session: &Session, exit: &Exit) {
        if session.is_job {
            return self.conclude_job(session, exit).await;
        }
        let kind = self.kinds.get(&session.kind);
        let suspended = kind.and_then(|kind| kind.stop.suspended_status).map(Exit::Status);
        if suspended.as_ref() == Some(exit) {
            self.mirror.remove(session.id, session.epoch);
            tracing::info!(session = %session.id, epoch = %session.epoch, "suspended by itself");
            return self.report_end(session, Report::Suspended).await;
        }
        if *exit != Exit::Status(0) {
            return self.fail(session, &format!("the program ended: {exit}")).await;
        }
        self.mirror.remove(session.id, session.epoch);
        tracing::info!(session = %session.id, epoch = %session.epoch, "ended by itself");
        self.report_end(session, Report::Ended).await;
    }

    /// Reports that a program died, with the last lines of its log.
    async fn fail(&self, session: &Session, what: &str) {
        let failure = self.with_log(session, what).await;
        tracing::warn!(session = %session.id, epoch = %session.epoch, "failed: {what}");
        self.mirror.remove(session.id, session.epoch);
        self.report_end(session, Report::Failed { failure }).await;
    }

    /// Lets the proxy find a session before the mirror's next read does.
    pub(super) fn note_route(&self, session: &Session, peer: &Peer) {
        // Nobody reaches a job.
        if session.is_job {
            return;
        }
        self.mirror.note(Route {
            id: session.id,
            user: session.user.clone(),
            kind: session.kind.clone(),
            state: session.state,
            epoch: session.epoch,
            node: session.node,
            peer: peer.clone(),
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await.unwrap_or_default() });
    }
}
