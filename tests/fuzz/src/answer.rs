//! Bytes as somebody's answer.

use std::{collections::BTreeMap, sync::LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use evenkeel::balancer::{check, wasm::WasmBalancer};

use crate::{
    ENGINE, Outcome, limits,
    question::question,
    told::{self, are_scores, is_order},
};

/// A balancer that does what its question says: see its text.
static OBEDIENT: LazyLock<WasmBalancer> = LazyLock::new(|| {
    let bytes = evenkeel_fixtures::assemble("obedient", include_str!("obedient.wat"));
    WasmBalancer::load(&ENGINE, "obedient", &bytes, BTreeMap::new(), limits()).expect("it loads")
});

/// The most of an input that is handed to a guest, in numbers of 8 bytes.
const MOST: usize = 4_096;

/// Takes bytes for an answer: an order, scores, or the memory of a guest and what it says of it. What the host makes of
/// them is what rules say that are written once more, and plainer.
pub fn answer(bytes: &[u8]) -> Outcome {
    let mut input = Unstructured::new(bytes);
    let (Ok(what), Ok(count)) = (u8::arbitrary(&mut input), u8::arbitrary(&mut input)) else {
        return Outcome::Refused;
    };
    let count = usize::from(count);
    match what % 4 {
        0 => order(input, count),
        1 => scores(input, count),
        _ => guest(input, count),
    }
}

fn outcome(holds: bool) -> Outcome {
    if holds { Outcome::Answered } else { Outcome::Refused }
}

/// Small numbers: nodes that there are, and those next to them.
fn order(input: Unstructured<'_>, count: usize) -> Outcome {
    let order: Vec<u32> =
        input.take_rest().iter().map(|&byte| if byte == 255 { u32::MAX } else { byte.into() }).collect();
    let found = check::order(&order, count);
    assert_eq!(found.is_ok(), is_order(&order, count), "{order:?} of {count} nodes: {found:?}");
    found.as_ref().err().into_iter().for_each(|error| told::sentence(&error.to_string()));
    outcome(found.is_ok())
}

fn scores(input: Unstructured<'_>, count: usize) -> Outcome {
    let numbers = input.take_rest().chunks_exact(8).map(|bytes| f64::from_le_bytes(eight(bytes)));
    let scores: Vec<f64> = numbers.collect();
    let found = check::scores(&scores, count);
    assert_eq!(found.is_ok(), are_scores(&scores, count), "{scores:?} of {count} nodes: {found:?}");
    found.as_ref().err().into_iter().for_each(|error| told::sentence(&error.to_string()));
    outcome(found.is_ok())
}

fn guest(input: Unstructured<'_>, count: usize) -> Outcome {
    let numbers = input.take_rest().chunks_exact(8).map(|bytes| u64::from_le_bytes(eight(bytes)));
    let script: Vec<u64> = numbers.take(MOST).collect();
    // There is no question without a node.
    told::decision(&OBEDIENT, &question(count.max(1), &script))
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    std::array::from_fn(|index| bytes[index])
}
