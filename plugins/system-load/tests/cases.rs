//! The decision cases, answered by the plain functions.

use std::path::Path;

use evenkeel_plugin_cases::{Outcome, Question, run};
use evenkeel_plugin_system_load::{Columns, SystemLoad, choose};
use evenkeel_sdk::{Answer, Columnar, Settings};

#[test]
fn every_case_is_answered_as_it_is_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/system-load.toml");
    let asked = run(&file, |question| {
        let defaults = Settings::defaults(SystemLoad::SETTINGS);
        let settings = question.settings.iter().fold(defaults, |settings, (key, value)| settings.with(key, value));
        match SystemLoad::new(&settings) {
            Ok(policy) => {
                let Answer { order, scores, reason, .. } = answer(&policy, question);
                Outcome::Ranked { order, scores, reason }
            }
            Err(why) => Outcome::Refused(why),
        }
    });
    assert!(asked.as_ref().is_ok_and(|&asked| asked > 0), "{}", asked.unwrap_err());
}

fn answer(policy: &SystemLoad, question: &Question) -> Answer {
    let columns = Columns {
        load5: &question.load5,
        unseen5: &question.unseen5,
        cores: &question.cores,
        sessions: &question.sessions,
        weights: &question.weights,
    };
    choose(columns, policy.expected_load, question.request.sequence)
}
