//! How much of a node one user may hold: requests that are being answered, and web sockets that are open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Held = Arc<Mutex<HashMap<String, usize>>>;

/// What users hold.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    held: Held,
}

/// One request or web socket of a user's, until it is dropped.
#[derive(Debug)]
pub struct Share {
    user: String,
    held: Held,
}

impl Shares {
    /// At most that many of each user.
    pub fn new(most: usize) -> Self {
        Self { most, held: Held::default() }
    }

    /// One more of a user's; none where they have as many as they may.
    pub fn take(&self, user: &str) -> Option<Share> {
        let mut held = lock(&self.held);
        match held.get_mut(user) {
            Some(count) if *count >= self.most => return None,
            Some(count) => *count += 1,
            None => drop(held.insert(user.to_owned(), 1)),
        }
        drop(held);
        Some(Share { user: user.to_owned(), held: Arc::clone(&self.held) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        match held.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.user)),
        }
    }
}

fn lock(held: &Held) -> MutexGuard<'_, HashMap<String, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_can_be_taken_again_and_nothing_is_kept_of_it() {
        let shares = Shares::new(2);
        let [first, second] = [(); 2].map(|()| shares.take("ada").unwrap());
        assert!(shares.take("ada").is_none());
        let other = shares.take("bob").unwrap();
        drop(first);
        let third = shares.take("ada").unwrap();
        assert!(shares.take("ada").is_none());
        drop((second, third, other));
        assert!(lock(&shares.held).is_empty());
    }
}
