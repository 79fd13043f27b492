//! The cases in `cases.toml`, answered by the plain policy.

use evenkeel_example_memory_best_fit::MemoryBestFit;

#[path = "../../shared/cases.rs"]
mod cases;

#[test]
fn every_case_is_answered_as_it_is_written_down() {
    let asked = cases::run::<MemoryBestFit>(env!("CARGO_MANIFEST_DIR"));
    assert!(asked.as_ref().is_ok_and(|&asked| asked > 0), "{}", asked.unwrap_err());
}
