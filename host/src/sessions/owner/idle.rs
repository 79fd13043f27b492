//! Sessions that nobody uses: noticed, and suspended or ended as the administrator has set.
//!
//! Use is what passes the proxy, and what a program says of itself. The latter is asked only when the former would have
//! its session suspended or ended, so that what idles costs nothing. Where the program does not say, nothing is done.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use super::Owner;
use crate::{
    domain::{Epoch, IdleLimits, Session, SessionId, State, Wanted, idle::Spoken},
    launcher::{Activity, Kind, kind::Suspend},
    sessions::traffic::{Meter, Metering},
    store::SessionFilter,
};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(30);
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

/// How many programs are asked at once what they do.
const ASKED_AT_ONCE: usize = 8;

/// After this daemon's start, the longest time for people to resume what could not be resumed while it was away.
const SETTLE: Duration = Duration::from_secs(3600);

impl Owner {
    /// Looks for sessions that nobody uses, now and then, until stopped.
    pub(in crate::sessions) async fn run_idle(self: &Arc<Self>, stop: &tokio_util::sync::CancellationToken) {
        let limits = [self.idle.suspend_after, self.idle.end_after];
        let look = limits.into_iter().flatten().map(|limit| limit / 4).fold(LOOK, Duration::min).max(SHORTEST_LOOK);
        while stop.run_until_cancelled(tokio::time::sleep(look)).await.is_some() {
            if stop.run_until_cancelled(self.look_for_idle()).await.is_none() {
                return;
            }
        }
    }

    /// Looks for sessions that nobody uses, once.
    pub(in crate::sessions) async fn look_for_idle(self: &Arc<Self>) {
        self.write_activity().await;
        let meters = self.traffic.all().into_iter().filter(|meter| meter.verdict().is_some() && meter.may_be_asked());
        stream::iter(meters).for_each_concurrent(ASKED_AT_ONCE, |meter| self.judge(meter)).await;
        self.end_unused_suspended().await;
    }

    /// Meters a session that is active here from now on. What is not known of its kind any more could be that it is never
    /// idle.
    pub(super) fn meter(&self, session: &Session) -> Metering {
        let (id, epoch) = (session.id, session.epoch);
        let kind = self.kinds.get(&session.kind);
        let limits = kind.as_ref().map_or_else(IdleLimits::default, |kind| self.limits(kind));
        let unused = self.carried.take(id, epoch).unwrap_or_default();
        self.traffic.enter((id, epoch), kind, limits, unused)
    }

    fn limits(&self, kind: &Kind) -> IdleLimits {
        if kind.activity.never_idle {
            return IdleLimits::default();
        }
        self.idle.of_kind(&kind.name, kind.suspend == Suspend::Keeps)
    }

    /// Tells the store when sessions were last used. What it does not take now is told at the next look.
    async fn write_activity(&self) {
        let meters = self.traffic.all();
        let news: Vec<_> = meters.iter().filter_map(|meter| Some((meter, meter.unwritten()?))).collect();
        if news.is_empty() {
            return;
        }
        let notes: Vec<_> = news.iter().map(|(meter, (at, _))| (meter.id, meter.epoch, *at)).collect();
        match self.store.note_activity(&notes).await {
            Ok(()) => news.iter().for_each(|(meter, (_, last))| meter.written(*last)),
            Err(error) => tracing::debug!("when sessions were last used is not written: {error}"),
        }
    }

    /// A session that nobody has used for long enough, as far as the proxy knows.
    async fn judge(self: &Arc<Self>, meter: Arc<Meter>) {
        let (id, epoch) = (meter.id, meter.epoch);
        match self.launcher.activity(id, epoch).await {
            Ok(Activity { busy, last, open }) => {
                if let Some(last) = last {
                    meter.used(last);
                }
                if let Some((last, most)) = open {
                    meter.open(last, most);
                }
                if let Some(busy) = busy {
                    tracing::debug!(session = %id, "not idle: {busy}");
                    meter.is_busy();
                }
                meter.has_said();
            }
            Err(error) if meter.has_not_said() => {
                tracing::warn!(session = %id, "whether it is idle cannot be told, so it is kept: {error}");
                return;
            }
            Err(error) => {
                tracing::debug!(session = %id, "whether it is idle cannot be told: {error}");
                return;
            }
        }
        let Some((wanted, idle)) = meter.verdict() else { return };
        // Somebody may come while the store is asked.
        let still = || meter.verdict().is_some_and(|(verdict, _)| verdict == wanted);
        self.want_unused((id, epoch), wanted, idle, &still).await;
    }

    async fn want_unused(
        self: &Arc<Self>,
        (id, epoch): (SessionId, Epoch),
        wanted: Wanted,
        idle: Duration,
        still: &(dyn Fn() -> bool + Sync),
    ) {
        let limit = match wanted {
            Wanted::Suspended => self.idle.suspend_after,
            Wanted::Ended => self.idle.end_after,
        };
        let note = format!("{} after {} without use", wanted.as_str(), Spoken(limit.unwrap_or(idle)));
        match self.store.want_unused(id, epoch, wanted, &note, still).await {
            Ok(Some(session)) => {
                tracing::info!(session = %id, %epoch, "{note}");
                self.look(session);
                self.mirror.announce();
            }
            Ok(None) => tracing::debug!(session = %id, %epoch, "not {note}: it has changed meanwhile"),
            Err(error) => tracing::debug!(session = %id, %epoch, "not {note}: {error}"),
        }
    }

    /// Sessions that were suspended here and that nobody has resumed for so long that they are to be ended.
    async fn end_unused_suspended(self: &Arc<Self>) {
        let Some(limit) = self.idle.end_after else { return };
        if self.clock.steady().saturating_sub(self.began) < limit.min(SETTLE) {
            return;
        }
        let filter =
            SessionFilter { node: Some(self.node), states: vec![State::Suspended], ..SessionFilter::default() };
        let rows = match self.store.sessions(&filter).await {
            Ok(rows) => rows,
            Err(error) => return tracing::debug!("suspended sessions cannot be read: {error}"),
        };
        let now = self.clock.now();
        for row in rows {
            let Some(limit) = self.kinds.get(&row.kind).and_then(|kind| self.limits(&kind).end) else { continue };
            let last = row.last_activity.map_or(row.changed, |last| last.max(row.changed));
            let idle = Duration::try_from(now.duration_since(last)).unwrap_or_default();
            if idle >= limit {
                self.want_unused((row.id, row.epoch), Wanted::Ended, idle, &|| true).await;
            }
        }
    }
}
