//! What has been asked: questions that are being answered, and answers that are still good.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use super::AccountsError;
use crate::aside::{AsideError, Lane};

/// More entries than this are looked through for what is not good any more.
const MOST: usize = 1024;

/// An answer, and how long it is good.
pub(super) type Answer<T> = Result<(T, Duration), String>;

/// Questions by what they ask for.
pub(super) struct Asked<K, T> {
    lane: Lane,
    limit: Duration,
    entries: Arc<Mutex<HashMap<K, Entry<T>>>>,
}

enum Entry<T> {
    /// A thread is at it, or it waits for one.
    Open(watch::Receiver<Option<Result<T, String>>>),
    Answered {
        answer: T,
        until: Instant,
    },
}

impl<K, T> Asked<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(lane: Lane, limit: Duration) -> Self {
        Self { lane, limit, entries: Arc::default() }
    }

    /// The answer that is known, or that comes within the limit. `what` is for the errors. A question that hangs is not
    /// put again before it is answered.
    pub(super) async fn get(
        &self,
        key: &K,
        what: impl Fn() -> String,
        ask: impl FnOnce(&K) -> Answer<T> + Send + 'static,
    ) -> Result<T, AccountsError> {
        let mut answer = {
            let mut entries = lock(&self.entries);
            match entries.get(key) {
                Some(Entry::Answered { answer, until }) if Instant::now() < *until => return Ok(answer.clone()),
                Some(Entry::Open(answer)) => answer.clone(),
                _ => {
                    let answer = self.put(key, ask).map_err(|error| failure(error, what()))?;
                    make_room(&mut entries);
                    entries.insert(key.clone(), Entry::Open(answer.clone()));
                    answer
                }
            }
        };
        match timeout(self.limit, answer.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => match &*answer {
                Some(Ok(found)) => Ok(found.clone()),
                Some(Err(problem)) => Err(AccountsError::System { what: what(), problem: problem.clone() }),
                None => Err(failure(AsideError::Panicked, what())),
            },
            Ok(Err(_)) => {
                lock(&self.entries).remove(key);
                Err(failure(AsideError::Panicked, what()))
            }
            Err(_) => Err(AccountsError::TimedOut { what: what(), limit: self.limit }),
        }
    }

    /// Has a question answered. The entries are locked meanwhile, so the answer cannot be there before its question is.
    fn put(
        &self,
        key: &K,
        ask: impl FnOnce(&K) -> Answer<T> + Send + 'static,
    ) -> Result<watch::Receiver<Option<Result<T, String>>>, AsideError> {
        let (tell, answer) = watch::channel(None);
        let (key, entries) = (key.clone(), Arc::clone(&self.entries));
        self.lane.submit(Box::new(move || {
            let answered = ask(&key);
            let mut entries = lock(&entries);
            let told = match answered {
                Ok((answer, good_for)) => {
                    let until = Instant::now() + good_for;
                    entries.insert(key, Entry::Answered { answer: answer.clone(), until });
                    Ok(answer)
                }
                Err(problem) => {
                    entries.remove(&key);
                    Err(problem)
                }
            };
            let _ = tell.send(Some(told));
        }))?;
        Ok(answer)
    }
}

/// Lets go what is not good any more; where that is not enough, every answer. Open questions are bounded by their lane.
fn make_room<K: Eq + Hash, T>(entries: &mut HashMap<K, Entry<T>>) {
    if entries.len() < MOST {
        return;
    }
    let now = Instant::now();
    entries.retain(|_, entry| !matches!(entry, Entry::Answered { until, .. } if *until <= now));
    if entries.len() >= MOST {
        entries.retain(|_, entry| matches!(entry, Entry::Open(_)));
    }
}

fn failure(error: AsideError, what: String) -> AccountsError {
    match error {
        AsideError::Busy(waiting) => AccountsError::Busy { what, waiting },
        error => AccountsError::System { what, problem: error.to_string() },
    }
}

fn lock<K, T>(entries: &Mutex<HashMap<K, Entry<T>>>) -> MutexGuard<'_, HashMap<K, Entry<T>>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn asked(limit: Duration) -> Asked<u32, u32> {
        Asked::new(Lane::new("test", 2), limit)
    }

    fn what() -> String {
        "the number".to_owned()
    }

    #[tokio::test]
    async fn an_answer_is_good_for_its_time_and_a_failure_for_none() {
        let asked = asked(LONG);
        assert_eq!(asked.get(&1, what, |key| Ok((key + 1, LONG))).await, Ok(2));
        assert_eq!(asked.get(&1, what, |_| Ok((9, LONG))).await, Ok(2));
        assert_eq!(asked.get(&2, what, |_| Ok((3, Duration::ZERO))).await, Ok(3));
        assert_eq!(asked.get(&2, what, |_| Ok((4, Duration::ZERO))).await, Ok(4));
        let error = asked.get(&3, what, |_| Err("broken".to_owned())).await.unwrap_err();
        assert_eq!(error.to_string(), "the number cannot be looked up: broken");
        assert_eq!(asked.get(&3, what, |_| Ok((5, LONG))).await, Ok(5));
    }

    #[tokio::test]
    async fn who_asks_what_hangs_waits_for_the_same_answer_on_the_same_thread() {
        let asked = asked(Duration::from_millis(50));
        let calls = Arc::new(AtomicUsize::new(0));
        let (hold, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..5 {
            let (calls, wait) = (Arc::clone(&calls), Arc::clone(&wait));
            let error = asked
                .get(&1, what, move |_| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    let _ = wait.lock().unwrap().recv();
                    Ok((7, LONG))
                })
                .await
                .unwrap_err();
            assert!(matches!(error, AccountsError::TimedOut { .. }), "{error}");
        }
        assert_eq!(asked.get(&2, what, |_| Ok((8, LONG))).await, Ok(8), "others are answered meanwhile");
        drop(hold);
        while asked.get(&1, what, |_| Ok((7, LONG))).await != Ok(7) {}
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn answers_do_not_pile_up() {
        let asked = asked(LONG);
        for key in 0..u32::try_from(MOST * 2 + 10).unwrap() {
            assert_eq!(asked.get(&key, what, |key| Ok((*key, LONG))).await, Ok(key));
        }
        assert!(lock(&asked.entries).len() <= MOST);
    }

    #[tokio::test]
    async fn a_question_that_panics_can_be_asked_again() {
        let asked = asked(LONG);
        assert!(asked.get(&1, what, |_| panic!("on purpose")).await.is_err());
        assert_eq!(asked.get(&1, what, |_| Ok((1, LONG))).await, Ok(1));
    }
}
