//! `wasi:clocks`: the time of the question.
//!
//! The wall clock stands at the request's `now`. The monotonic clock begins at zero in each instance and moves on by a
//! microsecond whenever it is read, and to the awaited time whenever the guest waits: a guest that sleeps wakes at once.

use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower},
};

use super::state::Pollable;
use crate::balancer::wasm::guest::Guest;

/// What a reading moves the monotonic clock by, nanoseconds.
const STEP: u64 = 1_000;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn from_millis(millis: u64) -> Self {
        Self { seconds: millis / 1_000, nanoseconds: (millis % 1_000) as u32 * 1_000_000 }
    }
}

/// Defines a function, where it is known.
pub(super) fn define(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<bool> {
    match (interface, name) {
        ("wall-clock", "now") => {
            instance.func_wrap(name, |store: StoreContextMut<'_, Guest>, (): ()| {
                Ok((Datetime::from_millis(store.data().request.now),))
            })?;
        }
        ("wall-clock", "resolution") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((Datetime::from_millis(1),)))?;
        }
        ("monotonic-clock", "now") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| {
                let clock = &mut store.data_mut().wasi.clock;
                *clock = clock.saturating_add(STEP);
                Ok((*clock,))
            })?;
        }
        ("monotonic-clock", "resolution") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((STEP,)))?;
        }
        ("monotonic-clock", "subscribe-instant") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (due,): (u64,)| {
                Ok((store.data_mut().wasi.hold(Pollable { due })?,))
            })?;
        }
        ("monotonic-clock", "subscribe-duration") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (duration,): (u64,)| {
                let wasi = &mut store.data_mut().wasi;
                let due = wasi.clock.saturating_add(duration);
                Ok((wasi.hold(Pollable { due })?,))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
