//! The hostile balancers of `tests/fixtures`, loaded and asked once, each in the same engine as the others.

use std::collections::BTreeMap;

use evenkeel_fixtures::{Expected, Fixture};

use super::{engine, patient, question};
use crate::balancer::{
    Balancer, Refusal,
    wasm::{Engine, Limits, WasmBalancer, compiler::tests::compiler},
};

/// What became of a fixture, as far as it got.
#[derive(Debug)]
enum Outcome {
    Refused(String),
    Failed(String),
    Declined,
    Answered,
}

/// Those that never come to an end have a deadline that does; what the others say must not depend on how busy the machine
/// is.
fn limits(fixture: Fixture) -> Limits {
    match fixture.expected() {
        Expected::Fails(why) if why.starts_with("it had not answered") => Limits::default(),
        Expected::Refused(_) => Limits::default(),
        _ => patient(),
    }
}

fn outcome(engine: &Engine, fixture: Fixture) -> Outcome {
    let balancer = match WasmBalancer::load(engine, fixture.name(), &fixture.bytes(), BTreeMap::new(), limits(fixture))
    {
        Ok(balancer) => balancer,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut trial = question(3);
    trial.request.username = "trial".to_owned();
    if let Err(Refusal::Failed(why)) = balancer.rank(&trial) {
        return Outcome::Refused(format!("its trial decision over 3 nodes failed: {why}"));
    }
    match balancer.rank(&question(3)) {
        Ok(_) => Outcome::Answered,
        Err(Refusal::Failed(why)) => Outcome::Failed(why),
        Err(Refusal::Declined(_)) => Outcome::Declined,
    }
}

fn is_as(expected: Expected, outcome: &Outcome) -> bool {
    match (expected, outcome) {
        (Expected::Refused(part), Outcome::Refused(why)) | (Expected::Fails(part), Outcome::Failed(why)) => {
            why.contains(part)
        }
        (Expected::Answers | Expected::Bounded, Outcome::Answered) => true,
        (Expected::Bounded, Outcome::Refused(why)) => !why.is_empty(),
        _ => false,
    }
}

#[test]
fn whatever_a_hostile_balancer_does_is_told_in_a_sentence_and_harms_no_other() {
    let engine = engine();
    // A daemon compiles every file in a child. Here only those that break a compiler down are, for the time that it takes.
    let elsewhere = engine.clone().with_compiler(compiler());
    let breaks = |fixture: Fixture| matches!(fixture.expected(), Expected::Refused(why) if why.contains("broke down"));
    let mut wrong = Vec::new();
    for fixture in Fixture::ALL {
        let outcome = outcome(if breaks(fixture) { &elsewhere } else { &engine }, fixture);
        if !is_as(fixture.expected(), &outcome) {
            wrong.push(format!("{}: {outcome:?} is not {:?}", fixture.name(), fixture.expected()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
