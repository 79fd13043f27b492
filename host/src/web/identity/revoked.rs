//! Sign-ins that were ended before their time, remembered by this node until they would have ended anyway.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Pass;

#[derive(Default)]
pub(super) struct Revoked {
    until: HashMap<[u8; 16], Timestamp>,
}

impl Revoked {
    const MOST: usize = 16_384;

    pub(super) fn contains(&self, pass: &Pass) -> bool {
        self.until.contains_key(&pass.id)
    }

    pub(super) fn add(&mut self, pass: &Pass, until: Timestamp, now: Timestamp) {
        if self.until.len() >= Self::MOST {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= Self::MOST {
            let soonest = self.until.iter().min_by_key(|(_, until)| **until).map(|(id, _)| *id);
            soonest.and_then(|id| self.until.remove(&id));
        }
        self.until.insert(pass.id, until);
    }
}
