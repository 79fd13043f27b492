//! What is to be told once: that something began to fail, fails otherwise, or works again.

use std::fmt::Display;

/// Whether something works, as it was last told.
#[derive(Debug, Default)]
pub struct Condition {
    failure: Option<String>,
}

/// What is new.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'c> {
    /// Nothing.
    None,
    /// It fails, for this reason.
    Failed(&'c str),
    /// It works.
    Recovered,
}

impl Condition {
    /// Takes down how it is now, and says what is new about that.
    pub fn now(&mut self, failure: Option<&impl Display>) -> Change<'_> {
        let failure = failure.map(ToString::to_string);
        if self.failure == failure {
            return Change::None;
        }
        self.failure = failure;
        self.failure.as_deref().map_or(Change::Recovered, Change::Failed)
    }

    /// The failure that lasts.
    #[cfg(test)]
    pub(in crate::cluster) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_told() {
        let mut condition = Condition::default();
        let works = None::<&&str>;
        assert_eq!(condition.now(works), Change::None);
        assert_eq!(condition.now(Some(&"gone")), Change::Failed("gone"));
        assert_eq!(condition.now(Some(&"gone")), Change::None);
        assert_eq!(condition.now(Some(&"full")), Change::Failed("full"));
        assert_eq!(condition.now(works), Change::Recovered);
        assert_eq!(condition.now(works), Change::None);
    }
}
