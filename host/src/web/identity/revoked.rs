//! Sign-ins that were ended before their time, here or on another node, until they would have ended anyway.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Pass;
use crate::domain::SignOut;

#[derive(Default)]
pub(super) struct Revoked {
    until: HashMap<[u8; 16], Timestamp>,
    /// Ended here, and not yet told to the others.
    untold: Vec<SignOut>,
    /// What of that is kept on disk.
    kept: Vec<SignOut>,
}

impl Revoked {
    /// The most that are remembered, some megabytes; those that would end the soonest make room. To have more, people would
    /// have to sign in and out more than once a second for as long as a sign-in holds.
    const MOST: usize = 65_536;
    /// The most that wait to be told.
    const MOST_UNTOLD: usize = 4096;

    pub(super) fn contains(&self, pass: &Pass) -> bool {
        self.until.contains_key(&pass.id)
    }

    /// Ended on another node; false where that was known.
    pub(super) fn add(&mut self, SignOut { sign_in, until }: SignOut, now: Timestamp) -> bool {
        if self.until.len() >= Self::MOST {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= Self::MOST {
            let soonest = self.until.iter().min_by_key(|(_, until)| **until).map(|(id, _)| *id);
            soonest.and_then(|id| self.until.remove(&id));
        }
        self.until.insert(sign_in, until).is_none()
    }

    /// Ended here.
    pub(super) fn add_own(&mut self, sign_out: SignOut, now: Timestamp) {
        if self.add(sign_out, now) && self.untold.len() < Self::MOST_UNTOLD {
            self.untold.push(sign_out);
        }
    }

    /// What is to be told.
    pub(super) fn untold(&self) -> Vec<SignOut> {
        self.untold.clone()
    }

    /// These have been told.
    pub(super) fn told(&mut self, told: &[SignOut]) {
        self.untold.retain(|sign_out| !told.contains(sign_out));
    }

    /// What is to be told, where that is not what was kept last.
    pub(super) fn changed(&mut self) -> Option<Vec<SignOut>> {
        (self.kept != self.untold).then(|| {
            self.kept.clone_from(&self.untold);
            self.untold.clone()
        })
    }

    /// Forgets what is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.until.retain(|_, until| now < *until);
        self.untold.retain(|sign_out| now < sign_out.until);
    }
}
