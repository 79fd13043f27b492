//! Slows down whoever tries codes: so many failures a minute for each address, in bounded memory.

use std::{collections::HashMap, net::IpAddr};

use jiff::Timestamp;

/// Counts failures by address. Who locks themselves out, locks nobody else out.
#[derive(Default)]
pub(super) struct Throttle {
    failures: HashMap<Option<IpAddr>, Failures>,
}

struct Failures {
    count: u32,
    since: Timestamp,
}

impl Throttle {
    const WINDOW_SECONDS: i64 = 60;
    const MOST_IN_WINDOW: u32 = 10;
    const MOST_ADDRESSES: usize = 4096;

    pub(super) fn allows(&self, client: Option<IpAddr>, now: Timestamp) -> bool {
        self.failures.get(&client).is_none_or(|failures| failures.is_over(now) || failures.count < Self::MOST_IN_WINDOW)
    }

    pub(super) fn note_failure(&mut self, client: Option<IpAddr>, now: Timestamp) {
        if self.failures.len() >= Self::MOST_ADDRESSES && !self.failures.contains_key(&client) {
            self.failures.retain(|_, failures| !failures.is_over(now));
            if self.failures.len() >= Self::MOST_ADDRESSES {
                self.failures.clear();
            }
        }
        let failures = self.failures.entry(client).or_insert(Failures { count: 0, since: now });
        if failures.is_over(now) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count += 1;
    }
}

impl Failures {
    fn is_over(&self, now: Timestamp) -> bool {
        now.as_second().saturating_sub(self.since.as_second()) >= Throttle::WINDOW_SECONDS
    }
}
