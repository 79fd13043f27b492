//! The inputs that are kept, and inputs made of them: as many as a gate has time for, the same at each run.

use std::{
    collections::HashMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_fixtures::Fixture;
use evenkeel_fuzz::{Outcome, answer, load, mutate::mutate};
use fastrand::Rng;

/// The largest fixture that others are made of: a hostile size is not the matter here.
const SMALL: usize = 16 << 10;

/// Whether a file names WASI: such files are passed over here (`known`), and so is nearly all that is made of them.
fn names_wasi(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|bytes| bytes == b"wasi:")
}

/// An input, and where it comes from.
type Input = (String, Vec<u8>);

fn corpus(target: &str) -> Result<Vec<Input>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        inputs.push((path.display().to_string(), fs::read(&path)?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Runs inputs and counts what becomes of them. One that breaks something is written down first.
fn run(target: fn(&[u8]) -> Outcome, inputs: impl IntoIterator<Item = Input>) -> Result<HashMap<Outcome, usize>> {
    let mut counted = HashMap::new();
    for (name, bytes) in inputs {
        match catch_unwind(AssertUnwindSafe(|| target(&bytes))) {
            Ok(outcome) => *counted.entry(outcome).or_default() += 1,
            Err(panicked) => {
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broke");
                fs::write(&path, &bytes)?;
                eprintln!("this input broke something: {name}, now in {}", path.display());
                resume_unwind(panicked);
            }
        }
    }
    Ok(counted)
}

/// `count` inputs, each made of two of `from`.
fn made(from: &[Input], count: u64) -> impl Iterator<Item = Input> {
    (0..count).map(|number| {
        let mut random = Rng::with_seed(number);
        let mut pick = || &from[random.usize(0..from.len())];
        let ((one, bytes), (two, other)) = (pick(), pick());
        (format!("number {number} of {one} and {two}"), mutate(bytes, other, &mut random))
    })
}

#[test]
fn every_kept_file_is_refused_with_a_reason_or_decides_within_its_limits() -> Result<()> {
    let counted = run(load, corpus("load")?)?;
    ensure!([Outcome::Refused, Outcome::Failed, Outcome::Answered].iter().all(|outcome| counted[outcome] > 0));
    Ok(())
}

#[test]
fn every_kept_answer_is_judged_as_plain_rules_judge_it() -> Result<()> {
    let counted = run(answer, corpus("answer")?)?;
    ensure!(counted.len() == 4, "there are inputs of which nothing comes: {counted:?}");
    Ok(())
}

#[test]
fn files_made_of_others_are_refused_with_a_reason_or_decide_within_their_limits() -> Result<()> {
    let fixtures = Fixture::ALL.into_iter().map(|fixture| (fixture.name().to_owned(), fixture.bytes()));
    let mut from: Vec<Input> = fixtures.filter(|(_, bytes)| bytes.len() <= SMALL && !names_wasi(bytes)).collect();
    from.extend(corpus("load")?);
    let counted = run(load, made(&from, 1_000))?;
    ensure!(counted[&Outcome::Refused] > 100 && counted[&Outcome::Answered] > 10, "{counted:?}");
    Ok(())
}

#[test]
fn answers_made_of_others_are_judged_as_plain_rules_judge_them() -> Result<()> {
    let counted = run(answer, made(&corpus("answer")?, 20_000))?;
    ensure!(counted.len() == 4 && counted.values().all(|count| *count > 100), "{counted:?}");
    Ok(())
}
