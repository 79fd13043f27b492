//! What `rsession.conf` says of idle sessions.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Problem,
    file::File,
    reader::{self, Reader},
};
use crate::domain::IdleRules;

const MOST_MINUTES: f64 = 366.0 * 24.0 * 60.0;
const MOST_HOURS: f64 = 10.0 * 366.0 * 24.0;

/// Reads the file.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> IdleRules {
    let usual = IdleRules::default();
    let mut reader = Reader::new(file, None, problems);
    let suspend_after = reader.take("session-timeout-minutes", |value| time(value, "minutes", 60.0, MOST_MINUTES));
    let suspends = reader.take("session-timeout-suspend", reader::switch).unwrap_or(true);
    let rules = IdleRules {
        suspend_after: suspend_after.unwrap_or(usual.suspend_after).filter(|_| suspends),
        suspend_anyway: reader.take("session-timeout-suspend-kinds", kinds).unwrap_or_default(),
        end_after: reader
            .take("session-timeout-kill-hours", |value| time(value, "hours", 3600.0, MOST_HOURS))
            .unwrap_or(usual.end_after),
    };
    reader.finish();
    rules
}

/// A time in a unit of so many seconds, a decimal number; none for 0.
fn time(value: &str, unit: &str, seconds: f64, most: f64) -> Result<Option<Duration>, String> {
    match value.parse::<f64>() {
        Ok(0.0) => Ok(None),
        Ok(number) if number > 0.0 && number <= most => {
            Ok(Some(Duration::from_secs_f64(number * seconds).max(Duration::from_millis(1))))
        }
        _ => Err(format!("a number of {unit} up to {most}, or 0 for never")),
    }
}

/// Names of kinds, separated by commas. Which there are is known elsewhere, and may differ from node to node.
fn kinds(value: &str) -> Result<BTreeSet<String>, String> {
    let names: BTreeSet<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if names.iter().all(|name| !name.is_empty() && name.bytes().all(fits)) {
        Ok(names)
    } else {
        Err("names of kinds, separated by commas".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> (IdleRules, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rsession.conf");
        std::fs::write(&path, text).unwrap();
        let mut problems = Vec::new();
        let file = File::read(&path, &mut problems);
        let rules = read(&file, &mut problems);
        let prefix = format!("{}/", directory.path().display());
        (rules, problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect())
    }

    #[test]
    fn without_a_word_sessions_are_suspended_after_two_hours_and_never_ended() {
        let (read, problems) = rules("");
        assert_eq!((read, problems), (IdleRules::default(), Vec::new()));
    }

    #[test]
    fn limits_are_read_under_their_legacy_names_and_may_be_fractions() {
        let (read, problems) = rules(
            "session-timeout-minutes=1.5\nsession-timeout-kill-hours=48\n\
             session-timeout-suspend-kinds=jupyterlab, jupyter-notebook\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(read.suspend_after, Some(Duration::from_secs(90)));
        assert_eq!(read.end_after, Some(Duration::from_secs(48 * 3600)));
        assert_eq!(read.suspend_anyway.into_iter().collect::<Vec<_>>(), ["jupyter-notebook", "jupyterlab"]);
    }

    #[test]
    fn never_is_said_by_0_and_by_the_switch() {
        assert_eq!(rules("session-timeout-minutes=0\n").0.suspend_after, None);
        assert_eq!(rules("session-timeout-minutes=5\nsession-timeout-suspend=0\n").0.suspend_after, None);
        assert_eq!(rules("session-timeout-kill-hours=0\n").0.end_after, None);
    }

    #[test]
    fn what_is_no_time_is_named_with_its_line() {
        for value in ["-1", "soon", "inf", "NaN", "1e300", ""] {
            let (_, problems) = rules(&format!("\nsession-timeout-minutes={value}\n"));
            let expected = "a number of minutes up to 527040, or 0 for never";
            let told = format!("rsession.conf:2: session-timeout-minutes: expected {expected}, found `{value}`");
            assert_eq!(problems, [told]);
        }
        let (_, problems) = rules("session-timeout-suspend-kinds=jupyterlab,,Other\nsession-timout-minutes=1\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains("did you mean session-timeout-minutes?"), "{problems:?}");
    }
}
