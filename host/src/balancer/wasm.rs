//! WebAssembly balancers.
//!
//! A balancer is a component that imports nothing but the contract in `wit/`, and WASI that grants nothing. Each decision
//! runs in an instance of its own that no other decision has used, within [`Limits`]; what it may see is in its
//! [`Question`]. Nothing outside this module names wasmtime.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use self::{
    guest::Guest,
    policy::{GuestRefusal, Policy},
    ticker::TICK,
};
use super::{Answer, Balancer, Hearing, Question, Refusal, check, text};

mod compiler;
mod contract;
mod engine;
mod failure;
mod gate;
mod guest;
mod host;
mod imports;
mod limits;
mod load;
mod policy;
mod stack;
#[cfg(test)]
pub(super) mod tests;
mod ticker;
mod wasi;

pub(super) use compiler::Origin;
pub use compiler::{ARGUMENT as COMPILER, Cache, CacheError, Compiler, CompilerLimits, main as compile};
pub use contract::VERSION as CONTRACT_VERSION;
pub use engine::Engine;
pub use imports::Import;
pub use limits::Limits;
pub use load::{LoadError, digest};
pub use policy::Setting;

/// Bytes that are kept of a refusal's sentence.
const SENTENCE: usize = 1_024;
/// The least time that a balancer has when it is loaded: a program that starts on a busy machine must not lose it.
const LOADING: Duration = Duration::from_secs(1);

/// A balancer that is a WebAssembly component.
pub struct WasmBalancer {
    name: String,
    digest: String,
    /// The version of the contract it was made for.
    contract: String,
    engine: Engine,
    pre: InstancePre<Guest>,
    policy: Policy,
    declared: Vec<Setting>,
    /// Those it runs with, defaults included.
    settings: Arc<BTreeMap<String, String>>,
    limits: Limits,
}

impl WasmBalancer {
    /// The settings that it declares.
    pub fn declared(&self) -> &[Setting] {
        &self.declared
    }

    /// What it imports.
    pub fn imports(&self) -> Vec<Import> {
        imports::of(self.pre.component())
    }

    /// A store for one instance. The deadline counts from here.
    fn store(&self, guest: Guest, deadline: Duration) -> Store<Guest> {
        let handover = self.limits.handover + 16 * guest.nodes.count();
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.meter);
        store.set_hostcall_fuel(handover);
        // One more than the deadline has ticks, since the first may come at once.
        let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1));
        store
    }

    /// Calls one function of a fresh instance that has no question to answer.
    fn ask<T>(
        &self,
        call: impl FnOnce(&Policy, Instance, &mut Store<Guest>) -> wasmtime::Result<T> + Send,
    ) -> Result<T, String>
    where
        T: Send,
    {
        let _entered = self.engine.enter();
        let limits = Limits { deadline: self.limits.deadline.max(LOADING), ..self.limits };
        stack::with(limits.stack, || {
            let mut store = self.store(Guest::idle(&self.settings, &limits), limits.deadline);
            let outcome =
                self.pre.instantiate(&mut store).and_then(|instance| call(&self.policy, instance, &mut store));
            wasi::finish(store.data_mut());
            outcome.map_err(|error| failure::describe(&error, store.data(), &limits))
        })
        .map_err(|error| format!("there is no thread for it: {error}"))?
    }

    /// Decides within `deadline`; also whether that has passed.
    fn decide(&self, question: &Question, deadline: Duration) -> (Hearing, bool) {
        let start = Instant::now();
        let mut store = self.store(Guest::new(question, &self.settings, &self.limits), deadline);
        let outcome = self.pre.instantiate(&mut store).and_then(|instance| self.policy.rank(instance, &mut store));
        wasi::finish(store.data_mut());
        let is_late = outcome.as_ref().is_err_and(failure::is_late);
        let outcome = match outcome {
            Ok(Ok(order)) => match check::order(&order, question.nodes.count()) {
                Ok(()) => Ok(order),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            },
            Ok(Err(GuestRefusal::Declined(why))) => Err(Refusal::Declined(text::clean(&why, SENTENCE))),
            Ok(Err(GuestRefusal::Failed(why))) => Err(Refusal::Failed(text::clean(&why, SENTENCE))),
            Err(error) => Err(Refusal::Failed(failure::describe(&error, store.data(), &self.limits))),
        };
        let duration = start.elapsed();
        let Guest { meter, said, .. } = store.into_data();
        let memory = Some(meter.taken());
        let hearing = match outcome {
            Ok(order) => {
                let outcome = Ok(said.into_answer(order, duration));
                Hearing { outcome, refused_log: Vec::new(), duration, memory }
            }
            Err(refusal) => Hearing { outcome: Err(refusal), refused_log: said.into_log(), duration, memory },
        };
        (hearing, is_late)
    }

    fn hear_by(&self, question: &Question, deadline: Duration) -> (Hearing, bool) {
        let _entered = self.engine.enter();
        stack::with(self.limits.stack, || self.decide(question, deadline)).unwrap_or_else(|error| {
            let outcome = Err(Refusal::Failed(format!("there is no thread for it: {error}")));
            (Hearing { outcome, refused_log: Vec::new(), duration: Duration::ZERO, memory: None }, false)
        })
    }
}

impl Balancer for WasmBalancer {
    fn name(&self) -> &str {
        &self.name
    }

    fn digest(&self) -> Option<&str> {
        Some(&self.digest)
    }

    fn contract(&self) -> Option<&str> {
        Some(&self.contract)
    }

    fn settings(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.settings)
    }

    fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
        self.hear(question).outcome
    }

    fn hear(&self, question: &Question) -> Hearing {
        self.hear_by(question, self.limits.deadline).0
    }

    fn hear_within(&self, question: &Question, patience: Duration) -> Option<Hearing> {
        let (hearing, is_late) = self.hear_by(question, self.limits.deadline.min(patience));
        (!is_late || self.limits.deadline <= patience).then_some(hearing)
    }
}

impl std::fmt::Debug for WasmBalancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmBalancer")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("settings", &self.settings)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
