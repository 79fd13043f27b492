//! What administrators are told of the balancer `sessions`.

use evenkeel_plugin_sessions::{Columns, choose};

/// Places sessions one after another and checks after each how far nodes of equal weight are apart.
fn launch(launches: u64, weights: &[u32], load1: &[f64], step: u64) -> Vec<u32> {
    let cores = vec![4; weights.len()];
    let mut sessions = vec![0; weights.len()];
    for launch in 0..launches {
        let columns = Columns { sessions: &sessions, weights, load1, cores: &cores };
        let answer = choose(columns, launch * step);
        sessions[answer.order[0] as usize] += 1;
        for (a, &weight) in weights.iter().enumerate() {
            for b in (0..weights.len()).filter(|&b| weights[b] == weight) {
                assert!(sessions[a].abs_diff(sessions[b]) <= 1, "after {launch}: {sessions:?}");
            }
        }
    }
    sessions
}

#[test]
fn equal_nodes_never_differ_by_more_than_one_session() {
    for step in [0, 1, 2, 3, 7, u64::MAX / 1000] {
        launch(500, &[100; 7], &[0.0; 7], step);
        launch(500, &[100; 7], &[90.0, 0.0, 3.1, 0.0, 12.5, 0.0, 1e9], step);
        launch(500, &[100, 300, 100, 300, 100], &[4.0, 0.0, 0.0, 2.0, 1.0], step);
    }
}

#[test]
fn sessions_follow_the_weights() {
    let sessions = launch(800, &[100, 200, 400, 100], &[0.0, 9.0, 3.0, 1.0], 1);
    assert_eq!(sessions, [100, 200, 400, 100]);
}

#[test]
fn idle_nodes_are_chosen_in_turn() {
    let columns = Columns { sessions: &[0; 5], weights: &[100; 5], load1: &[0.0; 5], cores: &[8; 5] };
    let firsts: Vec<u32> = (0..10).map(|sequence| choose(columns, sequence).order[0]).collect();
    assert_eq!(firsts, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[test]
fn the_reason_tells_count_and_tie() {
    let columns = Columns { sessions: &[2, 1, 1], weights: &[100, 50, 50], load1: &[0.0; 3], cores: &[8; 3] };
    let reason = choose(columns, 0).reason;
    let expected = "has 2 sessions, the fewest per weight of 3 nodes; first by load and turn among 3 with as few";
    assert_eq!(reason.as_deref(), Some(expected));
    let columns = Columns { sessions: &[2, 1], ..columns };
    let reason = choose(Columns { weights: &[100, 150], ..columns }, 0).reason;
    assert_eq!(reason.as_deref(), Some("has 1 session at weight 150, the fewest per weight of 2 nodes"));
}

#[test]
fn the_largest_numbers_overflow_nothing_and_their_scores_are_numbers() {
    let columns = Columns {
        sessions: &[u32::MAX, u32::MAX, u32::MAX - 1, 0],
        weights: &[1, u32::MAX, u32::MAX, 1],
        load1: &[1e300, 0.0, 1e300, 1e300],
        cores: &[1, u32::MAX, 1, 1],
    };
    let answer = choose(columns, u64::MAX);
    assert_eq!(answer.order, [3, 2, 1, 0]);
    assert!(answer.scores.unwrap().iter().all(|score| score.is_finite()));
}

#[test]
fn ten_thousand_nodes_are_ordered_as_a_sort_would_and_equal_ones_take_turns() {
    const NODES: u32 = 10_000;
    let mixed: Vec<u32> = (0..NODES).map(|node| node * 7_919 % NODES).collect();
    let (weights, load1, cores) = (vec![100; NODES as usize], vec![0.0; NODES as usize], vec![8; NODES as usize]);
    let columns = Columns { sessions: &mixed, weights: &weights, load1: &load1, cores: &cores };
    let mut sorted: Vec<u32> = (0..NODES).collect();
    sorted.sort_by_key(|&node| mixed[node as usize]);
    assert_eq!(choose(columns, 1).order, sorted[..16]);

    let equal = vec![3; NODES as usize];
    let columns = Columns { sessions: &equal, ..columns };
    for sequence in [0, 1, 9_999, 10_000, 123_456_789] {
        let turn = u32::try_from(sequence % u64::from(NODES)).unwrap();
        let in_turn: Vec<u32> = (0..16).map(|place| (turn + place) % NODES).collect();
        assert_eq!(choose(columns, sequence).order, in_turn, "decision {sequence}");
    }
}
