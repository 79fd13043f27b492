//! One start of a user at a time, however many are asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Whose turn it is, for each user.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// A user's turn, until it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for a turn of the user's.
    pub(super) async fn take(&self, user: &str) -> Turn {
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
        turn.lock_owned().await
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
        let turn = turns.take("ada").await;
        assert!(timeout(Duration::from_millis(10), turns.take("ada")).await.is_err());
        let other = turns.take("bob").await;
        drop(turn);
        drop(turns.take("ada").await);
        drop(other);
        drop(turns.take("eve").await);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
