//! When the sessions of this node were last used: what the proxy passes on is told to a session's `Meter`, whose time
//! then decides whether the session is idle.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::{Clock, Epoch, IdleLimits, SessionId, Wanted},
    launcher::Kind,
};

/// How long a program that does not say what it does is not asked again: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The meters of the sessions that are active on this node.
pub struct Traffic {
    clock: Arc<dyn Clock>,
    meters: RwLock<HashMap<SessionId, Arc<Meter>>>,
    /// Use of programs that run here before their sessions are metered: a daemon that has just started passes traffic on at
    /// once, and may wait for the store.
    early: Mutex<HashMap<SessionId, i64>>,
}

/// For how long early use is remembered.
const EARLY: Duration = Duration::from_secs(24 * 3600);

/// One session's.
pub(super) struct Meter {
    pub(super) id: SessionId,
    pub(super) epoch: Epoch,
    limits: IdleLimits,
    kind: Option<Arc<Kind>>,
    clock: Arc<dyn Clock>,
    /// When it was last used, milliseconds of the steady clock, like the times that follow: a clock that is set makes
    /// nothing idle.
    last: AtomicI64,
    /// Of these, by its user's traffic.
    by_user: AtomicI64,
    /// What of it the store has been told.
    written: AtomicI64,
    /// Requests of its user's that pass.
    passing: AtomicUsize,
    /// How often in a row its program has not said what it does.
    silences: AtomicU32,
    /// When its program may be asked again.
    ask_at: AtomicI64,
}

/// For how long a session has not been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unused {
    /// By anything.
    pub(super) at_all: Duration,
    /// By its user's traffic.
    pub(super) by_user: Duration,
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
pub(super) struct Metering {
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
        let now = milliseconds(self.clock.steady());
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.insert(id, now).is_none() {
            early.retain(|_, at| now.saturating_sub(*at) < milliseconds(EARLY));
        }
    }

    /// The meter of a session that is active here.
    pub(super) fn meter(&self, id: SessionId) -> Option<Arc<Meter>> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Meters a session that has not been used for so long, until the answer is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        (id, epoch): (SessionId, Epoch),
        kind: Option<Arc<Kind>>,
        limits: IdleLimits,
        unused: Unused,
    ) -> Metering {
        let now = milliseconds(self.clock.steady());
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).unwrap_or(i64::MIN);
        let last = now.saturating_sub(milliseconds(unused.at_all));
        let meter = Arc::new(Meter {
            id,
            epoch,
            limits,
            kind,
            clock: Arc::clone(&self.clock),
            last: AtomicI64::new(last.max(early)),
            by_user: AtomicI64::new(now.saturating_sub(milliseconds(unused.by_user)).max(early)),
            // When it became active, or by the daemon before this one.
            written: AtomicI64::new(last),
            passing: AtomicUsize::new(0),
            silences: AtomicU32::new(0),
            ask_at: AtomicI64::new(i64::MIN),
        });
        self.meters.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&meter));
        Metering { traffic: Arc::clone(self), meter }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Meter>> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Drop for Metering {
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
        // Also what it is when the request is cut off.
        self.used_by_user();
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
        let now = self.now();
        self.by_user.fetch_max(now, Ordering::Relaxed);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// Its page was open then, by the store's clock, which counts for so long after its user's last use.
    pub(super) fn open(&self, at: Timestamp, most: Duration) {
        let latest = self.by_user.load(Ordering::Relaxed).saturating_add(milliseconds(most));
        self.last.fetch_max(self.steadily(at).min(latest), Ordering::Relaxed);
    }

    /// It was used, or did something by itself, then, by the store's clock.
    pub(super) fn used(&self, at: Timestamp) {
        self.last.fetch_max(self.steadily(at), Ordering::Relaxed);
    }

    /// It does something.
    pub(super) fn is_busy(&self) {
        self.last.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// For how long it has not been used.
    pub(super) fn unused(&self) -> Unused {
        let now = self.now();
        let since = |then: i64| Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or_default());
        let by_user = if self.is_passing() { now } else { self.by_user.load(Ordering::Relaxed) };
        Unused { at_all: since(self.last(now)), by_user: since(by_user) }
    }

    /// When it was last used, as of `now`.
    fn last(&self, now: i64) -> i64 {
        if self.is_passing() { now } else { self.last.load(Ordering::Relaxed) }
    }

    fn is_passing(&self) -> bool {
        self.passing.load(Ordering::Relaxed) > 0
    }

    /// What is to become of it by now, and for how long it has not been used.
    pub(super) fn verdict(&self) -> Option<(Wanted, Duration)> {
        let idle = self.unused().at_all;
        self.limits.verdict(idle).map(|wanted| (wanted, idle))
    }

    /// Whether its program may be asked what it does.
    pub(super) fn may_be_asked(&self) -> bool {
        self.now() >= self.ask_at.load(Ordering::Relaxed)
    }

    /// Its program has said what it does.
    pub(super) fn has_said(&self) {
        self.silences.store(0, Ordering::Relaxed);
    }

    /// Its program has not said what it does; true where it had before.
    pub(super) fn has_not_said(&self) -> bool {
        let silences = self.silences.fetch_add(1, Ordering::Relaxed);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(silences)).min(LONGEST_PAUSE);
        self.ask_at.store(self.now().saturating_add(milliseconds(pause)), Ordering::Relaxed);
        silences == 0
    }

    /// When it was last used, if the store has not been told: by the store's clock, and for [`Meter::written`].
    pub(super) fn unwritten(&self) -> Option<(Timestamp, i64)> {
        let now = self.now();
        let last = self.last(now);
        let unused = SignedDuration::from_millis(now.saturating_sub(last));
        let at = self.clock.now().saturating_sub(unused).unwrap_or(Timestamp::MIN);
        (last > self.written.load(Ordering::Relaxed)).then_some((at, last))
    }

    /// The store has been told.
    pub(super) fn written(&self, last: i64) {
        self.written.fetch_max(last, Ordering::Relaxed);
    }

    fn now(&self) -> i64 {
        milliseconds(self.clock.steady())
    }

    /// A time of the store's clock by the steady one; one that is yet to come is now.
    fn steadily(&self, at: Timestamp) -> i64 {
        let age = Duration::try_from(self.clock.now().duration_since(at)).unwrap_or_default();
        self.now().saturating_sub(milliseconds(age))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::fakes::SetClock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn metered(clock: &Arc<SetClock>) -> (Arc<Traffic>, Metering) {
        let text = include_str!("../../kinds/jupyterlab.toml").replace("shortest-message = 0", "shortest-message = 14");
        let kind = Kind::parse(Path::new("jupyterlab.toml"), &text).unwrap();
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let limits = IdleLimits { suspend: Some(10 * MINUTE), end: None };
        let key = ("00000000".parse().unwrap(), Epoch::FIRST);
        let metered = traffic.enter(key, Some(Arc::new(kind)), limits, Unused::default());
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
        metered.meter.used(Timestamp::MIN);
        let unused = Unused { at_all: 10 * MINUTE, by_user: 10 * MINUTE };
        assert_eq!(metered.meter.unused(), unused, "what is earlier changes nothing");
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_idle_and_nothing_used() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (_traffic, metered) = metered(&clock);
        assert_eq!(metered.meter.unwritten(), None, "the store knows when it became active");
        clock.advance(SignedDuration::from_mins(1));
        metered.meter.is_busy();
        clock.advance(SignedDuration::from_mins(9));
        for hours in [9_000, -18_000] {
            clock.set_by(SignedDuration::from_hours(hours));
            assert_eq!(metered.meter.verdict(), None);
            assert_eq!(metered.meter.unused().at_all, 9 * MINUTE);
            assert_eq!(metered.meter.unwritten().unwrap().0, clock.now() - SignedDuration::from_mins(9));
        }
        // What a program says is compared with the clock that it may go by.
        metered.meter.used(clock.now() - SignedDuration::from_mins(2));
        assert_eq!(metered.meter.unused().at_all, 2 * MINUTE);
    }

    #[test]
    fn a_program_that_does_not_say_what_it_does_is_asked_less_and_less_often() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (_traffic, metered) = metered(&clock);
        let pause = || {
            let mut minutes = 0;
            while !metered.meter.may_be_asked() {
                clock.advance(SignedDuration::from_mins(1));
                minutes += 1;
            }
            minutes
        };
        let pauses = [0; 7].map(|_| (metered.meter.has_not_said(), pause()));
        assert_eq!(pauses.map(|(_, minutes)| minutes), [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(pauses.map(|(is_news, _)| is_news), [true, false, false, false, false, false, false]);
        metered.meter.has_said();
        assert!(metered.meter.has_not_said());
        assert_eq!(pause(), 1);
    }

    #[test]
    fn what_takes_its_time_is_use_until_it_is_done() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (_traffic, metered) = metered(&clock);
        let upload = metered.meter.request("PUT", "files/large");
        clock.advance(SignedDuration::from_hours(3));
        assert_eq!(metered.meter.verdict(), None);
        assert_eq!(metered.meter.unused(), Unused::default(), "also for the daemon after this one");
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
        let unused = |hours: u32| Unused { at_all: 60 * hours * MINUTE, by_user: 60 * hours * MINUTE };
        let enter = |id| traffic.enter((id, Epoch::FIRST), None, IdleLimits::default(), unused(9)).meter.unused();
        clock.advance(SignedDuration::from_hours(30));
        traffic.message(ids[0], 1);
        clock.advance(SignedDuration::from_hours(1));
        assert_eq!(enter(ids[0]), unused(1));
        assert_eq!(enter(ids[0]), unused(9), "once");
        // What is never metered is not remembered for ever.
        assert!(traffic.request(ids[0], "GET", "").is_none());
        clock.advance(SignedDuration::try_from(EARLY).unwrap());
        assert!(traffic.request(ids[1], "GET", "").is_none());
        assert_eq!(traffic.early.lock().unwrap().keys().collect::<Vec<_>>(), [&ids[1]]);
        // A web socket that was open before goes on.
        let metered = traffic.enter((ids[0], Epoch(2)), None, IdleLimits::default(), unused(9));
        clock.advance(SignedDuration::from_hours(1));
        traffic.message(ids[0], 1);
        assert_eq!(metered.meter.unused(), Unused::default());
    }

    #[test]
    fn a_later_start_keeps_its_meter_when_an_earlier_one_goes() {
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let (traffic, first) = metered(&clock);
        let id = first.meter.id;
        let second = traffic.enter((id, Epoch(2)), None, IdleLimits::default(), Unused::default());
        drop(first);
        assert_eq!(traffic.meter(id).unwrap().epoch, Epoch(2));
        drop(second);
        assert!(traffic.meter(id).is_none());
    }
}
