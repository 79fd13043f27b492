//! The start queue: only so many programs of a node are being started at once, from their claim until they can be used.
//! The others wait unclaimed, first come, first served. The limit of a start-up's time begins with the program.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a program that does not get ready keeps others from being started: what hangs in one user's profile must not
/// hold up everybody else.
const HOLD: Duration = Duration::from_secs(30);

/// The places of programs that are being started.
#[derive(Debug)]
pub(super) struct Starts {
    places: Arc<Semaphore>,
    hold: Duration,
}

/// A turn in the line; given up by dropping it.
pub(super) type Turn = Pin<Box<dyn Future<Output = Option<Place>> + Send>>;

/// A place in which a program is being started, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    hold: Duration,
}

impl Starts {
    pub(super) fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit.max(1))), hold: HOLD }
    }

    /// Lines up behind all that wait already, for a place.
    pub(super) fn line_up(&self) -> Turn {
        let (places, hold) = (Arc::clone(&self.places), self.hold);
        let mut turn: Turn = Box::pin(async move {
            // The semaphore is never closed.
            let permit = places.acquire_owned().await.ok()?;
            Some(Place { _permit: permit, hold })
        });
        // It stands in line from its first look on, whenever its task is run.
        match turn.as_mut().now_or_never() {
            Some(place) => Box::pin(std::future::ready(place)),
            None => turn,
        }
    }

    /// A place for a program that is being started anyhow, where there is one.
    pub(super) fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit, hold: self.hold })
    }
}

impl Place {
    /// Keeps the place until a program is ready or will not be, but not for ever.
    pub(super) async fn until<T>(self, ready: impl Future<Output = T>) -> T {
        let hold = self.hold;
        let mut ready = std::pin::pin!(ready);
        match tokio::time::timeout(hold, &mut ready).await {
            Ok(result) => result,
            Err(_) => {
                drop(self);
                ready.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_get_ready_gives_its_place_up_after_a_while() {
        let starts = Starts { hold: Duration::from_millis(10), ..Starts::new(1) };
        let place = starts.line_up().await.expect("a place");
        assert!(starts.take().is_none());
        tokio::select! {
            () = place.until(std::future::pending::<()>()) => {}
            next = starts.line_up() => drop(next.expect("the place of what hangs")),
        }
    }

    #[tokio::test]
    async fn who_comes_first_is_served_first_whoever_waits_first() {
        let starts = Starts::new(1);
        let place = starts.line_up().await;
        let [first, second, third] = [(); 3].map(|()| starts.line_up());
        let served = std::sync::Mutex::new(Vec::new());
        let wait = async |turn: Turn, name: u32| {
            let _place = turn.await.expect("a place");
            served.lock().expect("no panic").push(name);
        };
        let give_up = async {
            drop(second);
            drop(place);
        };
        tokio::join!(biased; wait(third, 3), wait(first, 1), give_up);
        assert_eq!(served.into_inner().expect("no panic"), [1, 3]);
    }
}
