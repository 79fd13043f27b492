//! What balancers wrote in their decisions: the newest lines of each, in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{LogLevel, LogLine, Question};
use crate::domain::SessionId;

/// Lines that are kept of one balancer.
const LINES: usize = 1_000;

/// Bytes of text that are kept of one balancer.
const BYTES: usize = 256 << 10;

/// A book for each balancer that has written anything. Balancers are named by the configuration, so there are few.
#[derive(Debug, Default)]
pub struct Journal {
    first: u64,
    books: Mutex<BTreeMap<String, Book>>,
}

/// The lines of one balancer.
#[derive(Debug)]
struct Book {
    next: u64,
    bytes: usize,
    entries: VecDeque<Entry>,
}

/// A line that a balancer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// One more than that of the line before: where a number is missing, lines are no longer kept.
    pub number: u64,
    /// When the decision was asked for, by the store's clock.
    pub time: Timestamp,
    /// Whose decision it was.
    pub session: Option<SessionId>,
    /// The line.
    pub line: LogLine,
}

impl Journal {
    /// An empty one. Numbers begin with the time, so that they grow over a restart of the daemon too.
    pub fn beginning(now: Timestamp) -> Self {
        Self { first: u64::try_from(now.as_microsecond()).unwrap_or_default(), books: Mutex::default() }
    }

    /// Writes the lines of one decision, here and to the daemon's own log. The oldest lines give way.
    pub(crate) fn write(&self, balancer: &str, question: &Question, lines: &[LogLine]) {
        if lines.is_empty() {
            return;
        }
        tell(balancer, question.session, lines);
        let time = i64::try_from(question.request.now).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
        let time = time.unwrap_or(Timestamp::MAX);
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if !books.contains_key(balancer) {
            let book = Book { next: self.first, bytes: 0, entries: VecDeque::new() };
            books.insert(balancer.to_owned(), book);
        }
        if let Some(book) = books.get_mut(balancer) {
            lines.iter().for_each(|line| book.add(time, question.session, line));
        }
    }

    /// The newest lines of a balancer, at most so many; with `after`, the first of those that follow that number. The
    /// oldest come first.
    pub fn read(&self, balancer: &str, after: Option<u64>, most: usize) -> Vec<Entry> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Book { entries, .. }) = books.get(balancer) else { return Vec::new() };
        let start = match after {
            Some(after) => entries.partition_point(|entry| entry.number <= after),
            None => entries.len().saturating_sub(most),
        };
        entries.range(start..).take(most).cloned().collect()
    }
}

impl Book {
    fn add(&mut self, time: Timestamp, session: Option<SessionId>, line: &LogLine) {
        self.bytes += line.message.len();
        self.entries.push_back(Entry { number: self.next, time, session, line: line.clone() });
        self.next += 1;
        while self.entries.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.line.message.len();
        }
    }
}

/// Passes the lines on to the daemon's log.
fn tell(balancer: &str, session: Option<SessionId>, lines: &[LogLine]) {
    let session = session.map(tracing::field::display);
    for LogLine { level, message } in lines {
        match level {
            LogLevel::Debug => tracing::debug!(balancer, session, "{message}"),
            LogLevel::Info => tracing::info!(balancer, session, "{message}"),
            LogLevel::Warn => tracing::warn!(balancer, session, "{message}"),
            LogLevel::Error => tracing::error!(balancer, session, "{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::Request;

    fn question(session: &str, now: u64) -> Question {
        let request = Request { now, ..Request::default() };
        Question { session: session.parse().ok(), request, ..crate::balancer::synthetic::question(1) }
    }

    fn lines(texts: &[&str]) -> Vec<LogLine> {
        texts.iter().map(|&text| LogLine { level: LogLevel::Info, message: text.to_owned() }).collect()
    }

    fn texts(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.line.message.as_str()).collect()
    }

    #[test]
    fn a_line_is_kept_with_its_session_and_the_time_of_its_decision() {
        let journal = Journal::beginning(Timestamp::from_microsecond(5_000_000).unwrap());
        journal.write("mine", &question("0123abcd", 1_500), &lines(&["a", "b"]));
        journal.write("yours", &question("", 1_500), &lines(&["c"]));
        let entry = |number, text: &str| Entry {
            number,
            time: Timestamp::from_millisecond(1_500).unwrap(),
            session: Some("0123abcd".parse().unwrap()),
            line: LogLine { level: LogLevel::Info, message: text.to_owned() },
        };
        assert_eq!(journal.read("mine", None, 10), [entry(5_000_000, "a"), entry(5_000_001, "b")]);
        assert_eq!(journal.read("yours", None, 10)[0].session, None);
        assert_eq!(journal.read("nobody's", None, 10), []);
    }

    #[test]
    fn who_follows_gets_each_line_once_and_who_does_not_the_newest() {
        let journal = Journal::default();
        journal.write("mine", &question("", 0), &lines(&["a", "b", "c", "d", "e"]));
        assert_eq!(texts(&journal.read("mine", None, 2)), ["d", "e"]);
        let mut seen = journal.read("mine", Some(1), 2);
        assert_eq!(texts(&seen), ["c", "d"]);
        seen = journal.read("mine", Some(seen[1].number), 2);
        assert_eq!(texts(&seen), ["e"]);
        assert_eq!(journal.read("mine", Some(seen[0].number), 2), []);
        assert_eq!(journal.read("mine", Some(u64::MAX), 2), []);
    }

    #[test]
    fn the_oldest_lines_give_way_by_number_and_by_size() {
        let journal = Journal::default();
        for count in 0..2 * LINES {
            journal.write("many", &question("", 0), &lines(&[&count.to_string()]));
        }
        let kept = journal.read("many", Some(0), usize::MAX);
        assert_eq!((kept.len(), kept[0].number, kept[0].line.message.as_str()), (LINES, 1_000, "1000"));

        let long = "x".repeat(1_000);
        journal.write("long", &question("", 0), &lines(&vec![long.as_str(); 500]));
        let kept = journal.read("long", None, usize::MAX);
        assert_eq!((kept.len(), kept.last().map(|entry| entry.number)), (BYTES / 1_000, Some(499)));
    }

    #[test]
    fn a_time_that_no_clock_shows_does_no_harm() {
        let journal = Journal::default();
        journal.write("mine", &question("", u64::MAX), &lines(&["a"]));
        assert_eq!(journal.read("mine", None, 1)[0].time, Timestamp::MAX);
    }
}
