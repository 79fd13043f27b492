//! The decision cases, answered by the plain functions.

use std::path::Path;

use evenkeel_plugin_cases::{Outcome, Question, run};
use evenkeel_plugin_user_hash::{UserHash, choose};
use evenkeel_sdk::{Answer, Columnar, Settings};

#[test]
fn every_case_is_answered_as_it_is_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/user-hash.toml");
    let asked = run(&file, |question| {
        let defaults = Settings::defaults(UserHash::SETTINGS);
        let settings = question.settings.iter().fold(defaults, |settings, (key, value)| settings.with(key, value));
        match UserHash::new(&settings) {
            Ok(policy) => {
                let Answer { order, scores, reason, .. } = answer(&policy, question);
                Outcome::Ranked { order, scores, reason }
            }
            Err(why) => Outcome::Refused(why),
        }
    });
    assert!(asked.as_ref().is_ok_and(|&asked| asked > 0), "{}", asked.unwrap_err());
}

fn answer(policy: &UserHash, question: &Question) -> Answer {
    choose(policy.scheme(), &question.request.username, &question.name_hashes, &question.weights)
}
