//! What is kept, read back, and decided on again.

use std::{sync::Arc, time::Duration};

use super::{Shown, decode, encode};
use crate::{
    balancer::{
        Balancer, Fallback, Question, Refusal, builtin, wasm,
        wasm::{Engine, Limits, WasmBalancer},
    },
    domain::{Node, NodeId, NodeStatus, Reading, Revision, fakes::Numbers},
    sessions::{
        fixtures::{new_session, node},
        placement::{
            Policy, Ruling,
            batch::{Made, Wish, decide},
            eligible::Rule,
            view::View,
        },
    },
    store::Snapshot,
};

/// However busy the machine is, nobody who waits is spared a decision.
#[derive(Debug)]
struct Patient(Fallback);

impl Policy for Patient {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        Policy::rank(&self.0, question)
    }
}

/// What `count` decisions in one batch over `nodes` nodes were made on, under a builtin balancer.
fn decided(balancer: &str, nodes: i64, count: usize) -> Vec<Made> {
    let mut all: Vec<_> = (1..=nodes)
        .map(|id| {
            let load = (id * 7919 % 1000) as f64 / 97.0;
            let reading = Reading { load: [load, load / 3.0, load / 7.0], memory_available: (id as u64) << 20 };
            Node { reading, ..node(id) }
        })
        .collect();
    all.push(Node { status: NodeStatus::Offline, ..node(nodes + 1) });
    all.push(Node { cordoned: true, ..node(nodes + 2) });
    let now = jiff::Timestamp::from_second(1_700_000_000).expect("a time");
    let mut view = View::new(Snapshot { revision: Revision(7), now, nodes: all, live: Vec::new() });
    let engine = Engine::new().expect("an engine");
    let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
    let balancer = builtin::select(balancer, Default::default(), &engine, limits).expect("it loads");
    let entropy = Numbers::default();
    let wishes = (0..count).map(|n| Wish::new(&new_session(["ada", "bob"][n % 2]), &view, &entropy)).collect();
    let made = decide(wishes, &mut view, &Patient(Fallback::new(balancer, None)), &entropy);
    made.into_iter().map(|made| made.expect("a decision").expect("it holds")).collect()
}

fn content(made: &[Made]) -> Vec<u8> {
    encode(made.iter().map(|made| made.shown.as_ref())).expect("it is written")
}

fn assert_same(read: &Shown, shown: &Shown) {
    let (got, asked) = (&read.question, &shown.question);
    assert_eq!((&got.nodes, &got.user_sessions, &got.request), (&asked.nodes, &asked.user_sessions, &asked.request));
    assert_eq!(read.nodes, shown.nodes);
    assert_eq!((&read.excluded, &read.settings), (&shown.excluded, &shown.settings));
    assert_eq!((&read.order, &read.scores), (&shown.order, &shown.scores));
}

#[test]
fn a_record_and_its_module_give_the_same_answer_again() {
    let engine = Engine::new().expect("an engine");
    for name in builtin::NAMES {
        let made = decided(name, 5, 4);
        let content = content(&made);
        for (position, Made { reservation, shown }) in made.iter().enumerate() {
            let read = decode(&content, position).expect("it is read");
            assert_same(&read, shown);
            let module = builtin::module(name).expect("a builtin");
            assert_eq!(reservation.decision.digest.as_deref(), Some(wasm::digest(module).as_str()));
            let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
            let settings = read.settings.as_ref().clone();
            let again = WasmBalancer::load(&engine, name, module, settings, limits).expect("it loads");
            let answer = again.rank(&read.question).expect("an answer");
            assert_eq!((answer.order, answer.scores), (shown.order.clone(), shown.scores.clone()), "{name} {position}");
            assert_eq!(answer.reason, reservation.decision.reason);
        }
    }
}

#[test]
fn a_record_tells_who_was_excluded_by_which_rule() {
    let made = decided("sessions", 2, 1);
    let read = decode(&content(&made), 0).expect("it is read");
    assert_eq!(*read.excluded, [(Rule::Offline, "node3".to_owned()), (Rule::Cordoned, "node4".to_owned())]);
    assert_eq!(made[0].reservation.decision.candidates[0], NodeId(2), "the less loaded");
}

#[test]
fn decisions_of_one_batch_share_what_they_have_in_common() {
    let alone = content(&decided("sessions", 1000, 1)).len();
    let together = content(&decided("sessions", 1000, 64)).len();
    println!("1,000 nodes: one decision {alone} bytes, 64 together {together} bytes");
    assert!(alone < 64 << 10, "{alone}");
    assert!(together < 8 * alone, "{together} against {alone}");
}

#[test]
fn what_is_damaged_or_of_another_version_is_an_error() {
    let made = decided("sessions", 3, 2);
    let whole = content(&made);
    assert!(decode(&whole, 2).is_err());
    assert!(decode(&[], 0).is_err());
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut], 1).is_err(), "{cut}");
    }
    let newer = [&[9], &whole[1..]].concat();
    assert!(decode(&newer, 0).expect_err("newer").to_string().contains("format 9"));
    let mut twisted = Arc::unwrap_or_clone(made[0].shown.clone());
    twisted.order = vec![3];
    assert!(decode(&encode([&twisted].into_iter()).expect("it is written"), 0).is_err());
}
