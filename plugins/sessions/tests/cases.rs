//! The decision cases, answered by the plain functions.

use std::path::Path;

use evenkeel_plugin_cases::{Outcome, Question, run};
use evenkeel_plugin_sessions::{Columns, Sessions, choose};
use evenkeel_sdk::{Answer, Columnar, Settings};

#[test]
fn every_case_is_answered_as_it_is_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/sessions.toml");
    let asked = run(&file, |question| {
        let defaults = Settings::defaults(Sessions::SETTINGS);
        let settings = question.settings.iter().fold(defaults, |settings, (key, value)| settings.with(key, value));
        match Sessions::new(&settings) {
            Ok(policy) => {
                let Answer { order, scores, reason, .. } = answer(&policy, question);
                Outcome::Ranked { order, scores, reason }
            }
            Err(why) => Outcome::Refused(why),
        }
    });
    assert!(asked.as_ref().is_ok_and(|&asked| asked > 0), "{}", asked.unwrap_err());
}

fn answer(_policy: &Sessions, question: &Question) -> Answer {
    let columns = Columns {
        sessions: &question.sessions,
        weights: &question.weights,
        load1: &question.load1,
        cores: &question.cores,
    };
    choose(columns, question.request.sequence)
}
