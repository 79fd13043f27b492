//! Calls into the system that may hang, aside from the threads that serve.

use std::{io, thread, time::Duration};

use tokio::{sync::oneshot, time::timeout};

mod lane;

pub use lane::Lane;

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// It took longer than it may.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The system gives no thread.
    #[error("no thread for it: {0}")]
    NoThread(io::Error),
    /// As many calls wait as may.
    #[error("{0} calls wait for an answer already")]
    Busy(usize),
    /// It panicked.
    #[error("the call panicked")]
    Panicked,
}

/// Runs `call` on a thread of its own and waits for it at most `limit`. A call that hangs keeps its thread, and nothing
/// else: unlike a thread of the runtime's pool, it does not keep the program from ending. Whoever calls this again and
/// again must see to it that hanging calls do not pile up, or takes a [`Lane`].
pub async fn aside<T: Send + 'static>(
    name: &str,
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AsideError> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Where nobody waits any more, nobody needs it.
            let _ = sender.send(call());
        })
        .map_err(AsideError::NoThread)?;
    match timeout(limit, receiver).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(AsideError::Panicked),
        Err(_) => Err(AsideError::TimedOut(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_result_comes_back() {
        assert_eq!(aside("test", LONG, || 6 * 7).await.unwrap(), 42);
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let error = aside("test", Duration::from_millis(20), move || wait.recv()).await.unwrap_err();
        assert!(matches!(error, AsideError::TimedOut(_)), "{error}");
        drop(hold);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error() {
        let error = aside("test", LONG, || panic!("on purpose")).await.unwrap_err();
        assert!(matches!(error, AsideError::Panicked), "{error}");
    }
}
