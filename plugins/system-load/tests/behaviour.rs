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

#[test]
fn idle_nodes_are_chosen_in_turn_however_many_there_are() {
    for count in [1_u32, 2, 16, 17, 10_000] {
        let (zeros, counts) = (vec![0.0; count as usize], vec![0; count as usize]);
        let (cores, weights) = (vec![4; count as usize], vec![100; count as usize]);
        let columns = Columns { load5: &zeros, unseen5: &zeros, cores: &cores, sessions: &counts, weights: &weights };
        for sequence in [0, 1, 9_999, 123_456_789] {
            let turn = u32::try_from(sequence % u64::from(count)).unwrap();
            let in_turn: Vec<u32> = (0..count.min(16)).map(|place| (turn + place) % count).collect();
            let answer = choose(columns, 1.0, sequence);
            assert_eq!(answer.order, in_turn, "decision {sequence} of {count} nodes");
            assert!(answer.scores.unwrap().iter().all(|score| *score == 0.0 && score.is_sign_positive()));
        }
    }
}

#[test]
fn the_largest_numbers_overflow_nothing_and_their_scores_are_numbers() {
    let columns = Columns {
        load5: &[1e300, 1e300, 0.0, 1e300],
        unseen5: &[f64::from(u32::MAX), 0.0, f64::from(u32::MAX), f64::from(u32::MAX)],
        cores: &[1, 1, 1, u32::MAX],
        sessions: &[u32::MAX, u32::MAX, u32::MAX, 0],
        weights: &[1, u32::MAX, 1, 1],
    };
    // As much as the setting takes: 15 digits.
    let answer = choose(columns, 999_999_999_999_999.0, 0);
    assert_eq!(answer.order, [2, 3, 1, 0], "of equal loads the one with the fewest sessions per weight");
    assert!(answer.scores.unwrap().iter().all(|score| score.is_finite()));
}

#[test]
fn ten_thousand_nodes_are_ordered_as_a_sort_would() {
    const NODES: u32 = 10_000;
    let loads: Vec<f64> = (0..NODES).map(|node| f64::from(node * 7_919 % NODES) / 16.0).collect();
    let (zeros, counts) = (vec![0.0; NODES as usize], vec![0; NODES as usize]);
    let (cores, weights) = (vec![8; NODES as usize], vec![100; NODES as usize]);
    let columns = Columns { load5: &loads, unseen5: &zeros, cores: &cores, sessions: &counts, weights: &weights };
    let mut sorted: Vec<u32> = (0..NODES).collect();
    sorted.sort_by(|&a, &b| loads[a as usize].total_cmp(&loads[b as usize]));
    assert_eq!(choose(columns, 1.0, 5).order, sorted[..16]);
}
