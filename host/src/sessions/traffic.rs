//! When the sessions of this node were last used: what the proxy passes on is told to a session's `Meter`, whose time
//! then decides whether the session is idle.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::{Clock, Epoch, IdleLimits, SessionId, Wanted},
    launcher::Kind,
};

/// The meters of the sessions that are active on this node.
pub struct Traffic {
    clock: Arc<dyn Clock>,
    meters: RwLock<HashMap<SessionId, Arc<Meter>>>,
    /// Use of programs that run here before their sessions are metered: a daemon that has just started passes traffic on at
    /// once, and may wait for the store.
    early: Mutex<HashMap<SessionId, Timestamp>>,
}

/// For how long early use is remembered.
const EARLY: SignedDuration = SignedDuration::from_hours(24);

/// One session's.
pub(super) struct Meter {
    pub(super) id: SessionId,
    pub(super) epoch: Epoch,
    limits: IdleLimits,
    kind: Option<Arc<Kind>>,
    clock: Arc<dyn Clock>,
    /// Milliseconds since the Unix epoch.
    last: AtomicI64,
    /// Of these, by its user's traffic.
    by_user: AtomicI64,
    /// What of it the store has been told.
    written: AtomicI64,
    /// Requests of its user's that pass.
    passing: AtomicUsize,
    /// The log has heard that its program does not say what it does.
    pub(super) complained: AtomicBool,
}

/// A request that passes: an upload, say, which may take its time.
pub struct Passing(Arc<Meter>);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.used_by_user();
        self.0.passing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A meter for as long as its session is active here.
pub(super) struct Metered {
    traffic: Arc<Traffic>,
    meter: Arc<Meter>,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl Traffic {
    /// Nothing is metered yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, meters: RwLock::default(), early: Mutex::default() }
    }

    /// A request of a session's user passes to a program that runs here, to that path below the session's prefix, until the
    /// answer is dropped; none where there is no need to hold it.
    pub fn request(&self, id: SessionId, method: &str, path: &str) -> Option<Passing> {
        match self.meter(id) {
            Some(meter) => meter.request(method, path),
            None => {
                self.used_early(id);
                None
            }
        }
    }

    /// A message of its user passes on a web socket, so many bytes long.
    pub fn message(&self, id: SessionId, length: u64) {
        match self.meter(id) {
            Some(meter) => meter.message(length),
            None => self.used_early(id),
        }
    }

    fn used_early(&self, id: SessionId) {
        let now = self.clock.now();
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.insert(id, now).is_none() {
            early.retain(|_, at| now.duration_since(*at) < EARLY);
        }
    }

    /// The meter of a session that is active here.
    pub(super) fn meter(&self, id: SessionId) -> Option<Arc<Meter>> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Meters a session, last used at `since`, until the answer is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        (id, epoch): (SessionId, Epoch),
        kind: Option<Arc<Kind>>,
        limits: IdleLimits,
        since: Timestamp,
    ) -> Metered {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let since = early.map_or(since, |early| early.max(since));
        let meter = Arc::new(Meter {
            id,
            epoch,
            limits,
            kind,
            clock: Arc::clone(&self.clock),
            last: AtomicI64::new(since.as_millisecond()),
            by_user: AtomicI64::new(since.as_millisecond()),
            written: AtomicI64::new(i64::MIN),
            passing: AtomicUsize::new(0),
            complained: AtomicBool::new(false),
        });
        self.meters.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&meter));
        Metered { traffic: Arc::clone(self), meter }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Meter>> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let mut meters = self.traffic.meters.write().unwrap_or_else(PoisonError::into_inner);
        // A later start may have one by now.
        if meters.get(&self.meter.id).is_some_and(|meter| Arc::ptr_eq(meter, &self.meter)) {
            meters.remove(&self.meter.id);
        }
    }
}

impl Meter {
    /// A request of its user passes, until the answer is dropped; none where it is no use.
    pub(super) fn request(self: &Arc<Self>, method: &str, path: &str) -> Option<Passing> {
        let polls = self.kind.as_ref().map_or(&[][..], |kind| &kind.activity.polls);
        if polls.iter().any(|poll| poll.is(method, path)) {
            return None;
        }
        self.passing.fetch_add(1, Ordering::Relaxed);
        Some(Passing(Arc::clone(self)))
    }

    /// A message of its user passes.
    pub(super) fn message(&self, length: u64) {
        if length >= self.kind.as_ref().map_or(0, |kind| kind.activity.shortest_message) {
            self.used_by_user();
        }
    }

    fn used_by_user(&self) {
        let now = self.clock.now();
        self.by_user.fetch_max(now.as_millisecond(), Ordering::Relaxed);
        self.used(now);
    }

    /// Its page was open then, which counts for so long after its user's last use.
    pub(super) fn open(&self, at: Timestamp, most: Duration) {
        let by_user = Timestamp::from_millisecond(self.by_user.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN);
        self.used(at.min(by_user.saturating_add(most).unwrap_or(Timestamp::MAX)));
    }

    /// It was used, or did something by itself, then.
    pub(super) fn used(&self, at: Timestamp) {
        self.last.fetch_max(at.as_millisecond(), Ordering::Relaxed);
    }

    /// When it was last used.
    pub(super) fn last(&self) -> Timestamp {
        Timestamp::from_millisecond(self.last.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
    }

    /// What is to become of it by now, and for how long it has not been used.
    pub(super) fn verdict(&self) -> Option<(Wanted, Duration)> {
        if self.passing.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let idle = Duration::try_from(self.clock.now().duration_since(self.last())).unwrap_or_default();
        self.limits.verdict(idle).map(|wanted| (wanted, idle))
    }

    /// When it was last used, if the store has not been told.
    pub(super) fn unwritten(&self) -> Option<Timestamp> {
        let last = self.last();
        (last.as_millisecond() > self.written.load(Ordering::Relaxed)).then_some(last)
    }

    /// The store has been told.
    pub(super) fn written(&self, last: Timestamp) {
        self.written.fetch_max(last.as_millisecond(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::fakes::SetClock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn metered(clock: &Arc<SetClock>) -> (Arc<Traffic>, Metered) {
        let text = include_str!("../../kinds/jupyterlab.toml").replace("shortest-message = 0", "shortest-message = 14");
        let kind = Kind::parse(Path::new("jupyterlab.toml"), &text).unwrap();
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let limits = IdleLimits { suspend: Some(10 * MINUTE), end: None };
        let key = ("00000000".parse().unwrap(), Epoch::FIRST);
        let metered = traffic.enter(key, Some(Arc::new(kind)), limits, clock.now());
        (traffic, metered)
    }

    #[test]
    fn use_is_what_a_user_does_and_not_what_an_open_page_asks_by_itself() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (traffic, metered) = metered(&clock);
        let meter = traffic.meter(metered.meter.id).unwrap();
        let idle_after = |act: &dyn Fn(&Arc<Meter>)| {
            meter.used(clock.now());
            clock.advance(SignedDuration::from_mins(10));
            act(&meter);
            meter.verdict().is_some()
        };
        assert!(idle_after(&|_| {}));
        assert!(idle_after(&|meter| drop(meter.request("GET", "api/kernels"))), "an open page asks that now and then");
        assert!(idle_after(&|meter| drop(meter.request("GET", "api/contents/work"))));
        assert!(!idle_after(&|meter| drop(meter.request("POST", "api/kernels"))), "that starts one");
        assert!(!idle_after(&|meter| drop(meter.request("PUT", "api/contents/work/a.ipynb"))));
        assert!(!idle_after(&|meter| drop(meter.request("GET", "lab"))), "somebody opens the page");
        assert!(!idle_after(&|meter| meter.message(200)));
    }

    #[test]
    fn a_session_is_idle_for_as_long_as_nobody_used_it() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (_traffic, metered) = metered(&clock);
        clock.advance(SignedDuration::from_secs(599));
        assert_eq!(metered.meter.verdict(), None);
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(metered.meter.verdict(), Some((Wanted::Suspended, 10 * MINUTE)));
        // A clock that is set back makes no time idle.
        clock.advance(SignedDuration::from_secs(-10_000));
        assert_eq!(metered.meter.verdict(), None);
        metered.meter.used(Timestamp::MIN);
        assert_eq!(metered.meter.last(), Timestamp::UNIX_EPOCH, "what is earlier changes nothing");
    }

    #[test]
    fn what_takes_its_time_is_use_until_it_is_done() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (_traffic, metered) = metered(&clock);
        let upload = metered.meter.request("PUT", "files/large");
        clock.advance(SignedDuration::from_hours(3));
        assert_eq!(metered.meter.verdict(), None);
        drop(upload);
        clock.advance(SignedDuration::from_mins(9));
        assert_eq!(metered.meter.verdict(), None);
        clock.advance(SignedDuration::from_mins(1));
        assert!(metered.meter.verdict().is_some());
    }

    #[test]
    fn what_is_used_before_it_is_metered_counts() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let ids = ["00000000", "00000001"].map(|id| id.parse::<SessionId>().unwrap());
        let enter = |id, since| traffic.enter((id, Epoch::FIRST), None, IdleLimits::default(), since).meter.last();
        clock.advance(SignedDuration::from_hours(30));
        traffic.message(ids[0], 1);
        let used = clock.now();
        clock.advance(SignedDuration::from_hours(1));
        assert_eq!(enter(ids[0], Timestamp::UNIX_EPOCH), used);
        assert_eq!(enter(ids[0], Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH, "once");
        // What is never metered is not remembered for ever.
        assert!(traffic.request(ids[0], "GET", "").is_none());
        clock.advance(EARLY);
        assert!(traffic.request(ids[1], "GET", "").is_none());
        assert_eq!(traffic.early.lock().unwrap().keys().collect::<Vec<_>>(), [&ids[1]]);
    }

    #[test]
    fn a_later_start_keeps_its_meter_when_an_earlier_one_goes() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (traffic, first) = metered(&clock);
        let id = first.meter.id;
        let second = traffic.enter((id, Epoch(2)), None, IdleLimits::default(), clock.now());
        drop(first);
        assert_eq!(traffic.meter(id).unwrap().epoch, Epoch(2));
        drop(second);
        assert!(traffic.meter(id).is_none());
    }
}
