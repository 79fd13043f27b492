//! What a program's own answers say of its use. They are the user's to make up: bounded, and never trusted to be anything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::kind::activity::{Probe, Selector};

/// What a session does by itself, or was seen to do last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Why it is not idle now, for people: `a kernel is busy`.
    pub busy: Option<String>,
    /// When it was last used, as far as it says.
    pub last: Option<Timestamp>,
    /// The same, which holds only for so long after its user's last use: a page may be open all the time.
    pub open: Option<(Timestamp, Duration)>,
}

impl Activity {
    /// Takes in what else is known.
    pub(super) fn add(&mut self, other: Self) {
        self.busy = self.busy.take().or(other.busy);
        self.last = self.last.max(other.last);
        self.open = self.open.max(other.open);
    }

    /// What an answer to a probe says.
    pub(super) fn read(probe: &Probe, answer: &Value) -> Self {
        let is_busy = probe.busy.as_ref().filter(|busy| {
            any(&busy.at, answer, &mut |value| {
                value.as_str().is_some_and(|word| busy.is.iter().any(|busy| busy == word))
            })
        });
        let mut last = None;
        if let Some(selector) = &probe.last {
            any(selector, answer, &mut |value| {
                last = last.max(time(value));
                false
            });
        }
        let busy = is_busy.map(|busy| busy.because.clone());
        match probe.most {
            None => Self { busy, last, open: None },
            Some(most) => Self { busy, last: None, open: last.map(|last| (last, most)) },
        }
    }
}

/// A time: RFC 3339, or milliseconds since the Unix epoch.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            let milliseconds = number.as_f64().filter(|number| number.abs() < 1e15)?;
            Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(milliseconds as i64)).ok()
        }
        _ => None,
    }
}

/// Whether any of the selected values is it. Each is looked at once, and there are no more of them than of the answer's
/// bytes.
fn any(Selector(parts): &Selector, value: &Value, is_it: &mut dyn FnMut(&Value) -> bool) -> bool {
    fn walk(parts: &[String], value: &Value, is_it: &mut dyn FnMut(&Value) -> bool) -> bool {
        match (parts.split_first(), value) {
            (None, value) => is_it(value),
            (Some((part, rest)), Value::Array(items)) if part == "*" => {
                items.iter().any(|item| walk(rest, item, is_it))
            }
            (Some((part, rest)), Value::Object(fields)) if part == "*" => {
                fields.values().any(|item| walk(rest, item, is_it))
            }
            (Some((part, rest)), Value::Object(fields)) => {
                fields.get(part).is_some_and(|field| walk(rest, field, is_it))
            }
            _ => false,
        }
    }
    walk(parts, value, is_it)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::launcher::Kind;

    /// What JupyterLab's probe number `index` makes of an answer.
    fn read(index: usize, answer: &Value) -> Activity {
        read_by(include_str!("../../kinds/jupyterlab.toml"), index, answer)
    }

    fn read_by(kind: &str, index: usize, answer: &Value) -> Activity {
        let kind = Kind::parse(Path::new("kind.toml"), kind).unwrap();
        Activity::read(&kind.activity.probes[index], answer)
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_busy_kernel_and_the_last_use_of_any_are_found() {
        let kernel = |state: &str, last: &str| json!({"id": "1", "execution_state": state, "last_activity": last});
        let idle = kernel("idle", "2026-01-02T03:04:05.678901Z");
        let both = json!([idle, kernel("busy", "2026-01-01T00:00:00Z")]);
        assert_eq!(
            read(0, &both),
            Activity { busy: Some("a kernel is busy".to_owned()), last: at("2026-01-02T03:04:05.678901Z"), open: None }
        );
        assert_eq!(read(0, &json!([idle])).busy, None);
        assert_eq!(read(0, &json!([])), Activity::default());
        let terminals = json!([{"name": "1", "last_activity": "2026-01-02T03:04:05.678901Z"}]);
        assert_eq!(read(1, &terminals), Activity { last: at("2026-01-02T03:04:05.678901Z"), ..Activity::default() });
    }

    #[test]
    fn the_heartbeat_of_code_server_holds_for_some_hours() {
        let heartbeat = json!({"status": "alive", "lastHeartbeat": 1_767_323_045_678_u64});
        let read = read_by(include_str!("../../kinds/vscode.toml"), 0, &heartbeat);
        let open = at("2026-01-02T03:04:05.678Z").map(|last| (last, Duration::from_secs(12 * 3600)));
        assert_eq!(read, Activity { open, ..Activity::default() });
    }

    #[test]
    fn an_answer_that_is_something_else_says_nothing() {
        for answer in [
            json!(null),
            json!("busy"),
            json!({"execution_state": "busy"}),
            json!([{"execution_state": ["busy"], "last_activity": {"a": 1}}]),
            json!([{"execution_state": 1, "last_activity": "yesterday"}]),
            json!([{"last_activity": -1e300}, {"last_activity": f64::MAX}, {"last_activity": "9999999-01-01"}]),
            json!([[[["busy"]]]]),
        ] {
            assert_eq!(read(0, &answer), Activity::default(), "{answer}");
        }
    }

    #[test]
    fn a_time_may_be_milliseconds() {
        assert_eq!(time(&json!(1_767_323_045_678_u64)), at("2026-01-02T03:04:05.678Z"));
        assert_eq!(time(&json!(0)), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn what_is_known_is_put_together() {
        let says = |busy: Option<&str>, last| Activity { busy: busy.map(str::to_owned), last, open: None };
        let mut all = says(None, at("2026-01-02T00:00:00Z"));
        all.add(says(Some("a kernel is busy"), None));
        all.add(says(Some("a terminal runs make"), at("2026-01-03T00:00:00Z")));
        assert_eq!(all, says(Some("a kernel is busy"), at("2026-01-03T00:00:00Z")));
    }
}
