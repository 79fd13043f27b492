//! Slows down whoever tries codes and passwords: so many a minute for each address and each name, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use jiff::Timestamp;

/// Counts by key. Who locks themselves out, locks nobody else out.
pub(super) struct Throttle<K> {
    most: u32,
    counts: HashMap<K, Count>,
}

struct Count {
    count: u32,
    since: Timestamp,
}

const WINDOW_SECONDS: i64 = 60;
const MOST_KEYS: usize = 4096;

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// So many in a minute.
    pub(super) fn new(most: u32) -> Self {
        Self { most, counts: HashMap::new() }
    }

    /// How long to wait before the next, where that is not now.
    pub(super) fn wait(&self, key: &K, now: Timestamp) -> Option<Duration> {
        let count = self.counts.get(key)?;
        let left = WINDOW_SECONDS - count.age(now);
        let is_full = left > 0 && count.count >= self.most;
        is_full.then(|| Duration::from_secs(left.unsigned_abs()))
    }

    /// Counts one.
    pub(super) fn note(&mut self, key: K, now: Timestamp) {
        if self.counts.len() >= MOST_KEYS && !self.counts.contains_key(&key) {
            self.make_room(now);
        }
        let count = self.counts.entry(key).or_insert(Count { count: 0, since: now });
        if count.age(now) >= WINDOW_SECONDS {
            *count = Count { count: 0, since: now };
        }
        count.count = count.count.saturating_add(1);
    }

    /// Takes one back that should not have been counted.
    pub(super) fn take_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            count.count = count.count.saturating_sub(1);
        }
    }

    /// Those who are nearest to their limit are remembered: nobody is forgotten for a crowd of others.
    fn make_room(&mut self, now: Timestamp) {
        self.counts.retain(|_, count| count.age(now) < WINDOW_SECONDS);
        if self.counts.len() >= MOST_KEYS {
            let least = self.counts.iter().min_by_key(|(_, count)| (count.count, count.since));
            let least = least.map(|(key, _)| key.clone());
            least.and_then(|key| self.counts.remove(&key));
        }
    }
}

impl Count {
    fn age(&self, now: Timestamp) -> i64 {
        // A clock that is set back must not lock anybody out for longer than a window.
        now.as_second().saturating_sub(self.since.as_second()).max(0)
    }
}

/// What of an address tells one client from another: who has one address of IPv6 has 2^64 of them.
pub(super) fn network(client: Option<IpAddr>) -> Option<IpAddr> {
    client.map(|client| match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn so_many_pass_in_a_minute_and_the_rest_must_wait_for_its_end() {
        let mut throttle = Throttle::new(3);
        for second in 0..3 {
            assert_eq!(throttle.wait(&"ada", at(second)), None);
            throttle.note("ada", at(second));
        }
        assert_eq!(throttle.wait(&"ada", at(10)), Some(Duration::from_secs(50)));
        assert_eq!(throttle.wait(&"bob", at(10)), None);
        assert_eq!(throttle.wait(&"ada", at(60)), None);
        throttle.note("ada", at(60));
        throttle.note("ada", at(60));
        assert_eq!(throttle.wait(&"ada", at(61)), None, "a new minute has begun");
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let mut throttle = Throttle::new(1);
        for _ in 0..5 {
            assert_eq!(throttle.wait(&1, at(0)), None);
            throttle.note(1, at(0));
            throttle.take_back(&1);
        }
        throttle.take_back(&2);
    }

    #[test]
    fn a_crowd_neither_fills_the_memory_nor_makes_it_forget_who_is_over_the_limit() {
        let mut throttle = Throttle::new(2);
        throttle.note(0, at(0));
        throttle.note(0, at(0));
        for key in 1..10_000 {
            throttle.note(key, at(1));
        }
        assert_eq!(throttle.counts.len(), MOST_KEYS);
        assert!(throttle.wait(&0, at(2)).is_some());
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let network = |text: &str| network(Some(text.parse().unwrap())).unwrap().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }
}
