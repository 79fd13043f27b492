//! What administrators are told of the balancer `system-load`.

use evenkeel_plugin_system_load::{Columns, choose};

const LOAD5: [f64; 3] = [0.1, 1.9, 2.2];

/// Places sessions in one moment, in which no average moves.
fn launch(launches: u64, expected_load: f64) -> [u32; 3] {
    let (mut sessions, mut unseen5) = ([0; 3], [0.0; 3]);
    for launch in 0..launches {
        let columns =
            Columns { load5: &LOAD5, unseen5: &unseen5, cores: &[4; 3], sessions: &sessions, weights: &[100; 3] };
        let node = choose(columns, expected_load, launch).order[0] as usize;
        sessions[node] += 1;
        unseen5[node] += 1.0;
    }
    sessions
}

#[test]
fn ten_launches_in_a_row_do_not_all_go_to_the_idle_node() {
    assert_eq!(launch(10, 1.0), [5, 3, 2]);
}

#[test]
fn without_expected_load_they_do_as_the_legacy_metric_has_it() {
    assert_eq!(launch(10, 0.0), [10, 0, 0]);
}

#[test]
fn the_reason_tells_the_load() {
    let columns =
        Columns { load5: &LOAD5, unseen5: &[4.0, 0.0, 0.0], cores: &[4; 3], sessions: &[0; 3], weights: &[100; 3] };
    let reason = choose(columns, 1.0, 0).reason;
    assert_eq!(reason.as_deref(), Some("expected load per core 0.48, the least of 3 nodes"));
}
