//! Calls that may hang and are made again and again: so many at once, and so many that wait.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::AsideError;

/// How many calls may wait for a thread.
const MOST_WAITING: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// Threads for one sort of call. Calls that hang keep their threads, and at most those of their lane; a thread without
/// work ends.
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    name: &'static str,
    threads: usize,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    threads: usize,
    waiting: VecDeque<Job>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("name", &self.0.name).field("threads", &self.0.threads).finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane of at most that many threads, which are named so.
    pub fn new(name: &'static str, threads: usize) -> Self {
        Self(Arc::new(Inner { name, threads, work: Mutex::default() }))
    }

    /// Makes a call and waits for it at most `limit`, the wait for a thread included. One that nobody waits for any more
    /// is not begun.
    pub async fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AsideError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(Box::new(move || {
            if !sender.is_closed() {
                let _ = sender.send(call());
            }
        }))?;
        match timeout(limit, receiver).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(AsideError::Panicked),
            Err(_) => Err(AsideError::TimedOut(limit)),
        }
    }

    /// Has something done, now or when a thread is free.
    pub fn submit(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), AsideError> {
        let mut work = self.0.work();
        if work.threads >= self.0.threads {
            if work.waiting.len() >= MOST_WAITING {
                return Err(AsideError::Busy(MOST_WAITING));
            }
            work.waiting.push_back(job);
            return Ok(());
        }
        let inner = Arc::clone(&self.0);
        let builder = thread::Builder::new().name(self.0.name.to_owned());
        builder.spawn(move || inner.run(job)).map_err(AsideError::NoThread)?;
        work.threads += 1;
        Ok(())
    }
}

impl Inner {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, job: Job) {
        let mut next = Some(job);
        while let Some(job) = next {
            // One that panics has told its caller so by dropping what it was to answer with.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            let mut work = self.work();
            next = work.waiting.pop_front();
            if next.is_none() {
                work.threads -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn results_come_back_also_after_one_that_panicked() {
        let lane = Lane::new("test", 1);
        let error = lane.call(LONG, || panic!("on purpose")).await.unwrap_err();
        assert!(matches!(error, AsideError::Panicked), "{error}");
        assert_eq!(lane.call(LONG, || 6 * 7).await.unwrap(), 42);
    }

    #[tokio::test]
    async fn calls_that_hang_keep_so_many_threads_and_no_more() {
        let lane = Lane::new("test", 2);
        let (began, beginnings) = mpsc::channel();
        let holds: Vec<mpsc::Sender<()>> = (0..2)
            .map(|_| {
                let (hold, wait) = mpsc::channel();
                let began = began.clone();
                lane.submit(Box::new(move || {
                    began.send(()).unwrap();
                    let _ = wait.recv();
                }))
                .unwrap();
                hold
            })
            .collect();
        (0..2).for_each(|_| beginnings.recv().unwrap());
        let error = lane.call(Duration::from_millis(20), || ()).await.unwrap_err();
        assert!(matches!(error, AsideError::TimedOut(_)), "{error}");
        // The one that timed out waits still.
        (1..MOST_WAITING).for_each(|_| lane.submit(Box::new(|| ())).unwrap());
        assert!(matches!(lane.submit(Box::new(|| ())).unwrap_err(), AsideError::Busy(MOST_WAITING)));
        drop(holds);
        // Once there is room again.
        let answer = loop {
            match lane.call(LONG, || 6 * 7).await {
                Err(AsideError::Busy(_)) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        };
        assert_eq!(answer, 42);
    }
}
