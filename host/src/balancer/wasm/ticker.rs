//! The clock that deadlines are counted by.
//!
//! A guest is stopped when the engine's epoch reaches its deadline. A thread raises the epoch each millisecond while a
//! guest runs, and sleeps for good while none does: an idle daemon wakes for nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use wasmtime::EngineWeak;

/// How long an epoch is.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The thread that raises an engine's epoch.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many guests run.
    running: AtomicUsize,
    /// The thread sleeps until it is woken.
    parked: AtomicBool,
    /// The engine is gone.
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread, asleep.
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("balancer-clock".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || tick(&seen, &engine))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Deadlines count for as long as the guard lives.
    pub(super) fn run(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.parked.load(SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }

    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.shared.parked.load(SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// A guest runs.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut next = Instant::now();
    while !shared.stopped.load(SeqCst) {
        shared.parked.store(true, SeqCst);
        // `running` is read after `parked` is written, and `run` writes and reads them the other way round, so that one of
        // the two always sees the other.
        let idle = shared.running.load(SeqCst) == 0;
        if idle {
            thread::park();
        }
        shared.parked.store(false, SeqCst);
        let now = Instant::now();
        // Ticks that a stalled machine missed are not made up for: the guest was stalled as well.
        next = if idle || next + TICK < now { now + TICK } else { next + TICK };
        thread::sleep(next.saturating_duration_since(now));
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use wasmtime::Engine;

    use super::Ticker;

    fn wait_until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "the condition did not come to hold");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_clock_sleeps_while_no_guest_runs_and_wakes_for_each() {
        let engine = Engine::default();
        let ticker = Ticker::start(engine.weak()).expect("a thread");
        for _ in 0..20 {
            wait_until(|| ticker.is_parked());
            let running = ticker.run();
            wait_until(|| !ticker.is_parked());
            drop(running);
        }
    }
}
