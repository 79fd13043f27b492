//! One start of a user at a time, however many are asked for.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::FutureExt as _;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is, for each user.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// A user's turn, until it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// A place in a user's line; given up by dropping it.
pub(super) type Line = Pin<Box<dyn Future<Output = Turn> + Send>>;

impl Turns {
    /// Lines up behind all of the user's that wait already.
    pub(super) fn line_up(&self, user: &str) -> Line {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match turns.get(user).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    turns.retain(|_, turn| turn.strong_count() > 0);
                    let turn = Arc::default();
                    turns.insert(user.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        let mut line: Line = Box::pin(turn.lock_owned());
        // It stands in line from its first look on, whenever its task is run.
        match line.as_mut().now_or_never() {
            Some(turn) => Box::pin(std::future::ready(turn)),
            None => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_turn_is_one_users_and_nothing_is_kept_of_it() {
        let turns = Turns::default();
        let turn = turns.line_up("ada").await;
        assert!(timeout(Duration::from_millis(10), turns.line_up("ada")).await.is_err());
        let other = turns.line_up("bob").await;
        drop(turn);
        drop(turns.line_up("ada").await);
        drop(other);
        drop(turns.line_up("eve").await);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
