//! Between the generated bindings and the traits. For the macro [`balancer!`](crate::balancer!) alone.

use std::{marker::PhantomData, panic, rc::Rc};

use crate::{
    Answer, Columnar, Node, Refusal, Request, Settings,
    bindings::{
        evenkeel::balancer::{answer, nodes as columns, request as asked},
        exports::evenkeel::balancer::policy,
    },
    log,
    lookup::{Columns, Lookup, Text, Texts},
};

/// Makes a [`Columnar`] what the host calls.
#[derive(Debug)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Columnar> policy::Guest for Adapter<P> {
    fn settings() -> Vec<policy::Setting> {
        let declared = P::SETTINGS.iter();
        declared
            .map(|setting| policy::Setting {
                key: setting.key.to_owned(),
                default: setting.default.map(str::to_owned),
                help: setting.help.to_owned(),
            })
            .collect()
    }

    fn check() -> Result<(), String> {
        tell_panics();
        P::new(&Settings::of_host()).map(drop)
    }

    fn rank() -> Result<Vec<u32>, policy::Refusal> {
        tell_panics();
        let policy = P::new(&Settings::of_host()).map_err(policy::Refusal::Failed)?;
        let Answer { order, scores, reason } = policy.rank()?;
        if let Some(scores) = scores {
            answer::scores(&scores);
        }
        if let Some(reason) = reason {
            answer::reason(&reason);
        }
        Ok(order)
    }
}

impl From<Refusal> for policy::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Declined(why) => Self::Declined(why),
            Refusal::Failed(why) => Self::Failed(why),
        }
    }
}

/// A panic ends in a trap that tells nothing: the log gets its message and place first.
fn tell_panics() {
    panic::set_hook(Box::new(|info| log::error(&info.to_string())));
}

/// Every node, with every column of numbers.
pub(crate) fn nodes() -> Vec<Node> {
    let labels = Columns::new(columns::label);
    let metrics = Columns::new(columns::metric);
    let (names, addresses) = (Texts::new(columns::names), Texts::new(columns::addresses));
    let (cores, weights, capacities) = (columns::cores(), columns::weights(), columns::capacities());
    let (sessions, user_sessions) = (columns::sessions(), columns::user_sessions());
    let (load1, load5, load15, unseen5) = (columns::load1(), columns::load5(), columns::load15(), columns::unseen5());
    let (memory_total, memory_available) = (columns::memory_total(), columns::memory_available());
    let (cpus_promised, memory_promised) = (columns::cpus_promised(), columns::memory_promised());
    let node = |node: usize| Node {
        cores: cores[node],
        weight: weights[node],
        capacity: capacities[node],
        sessions: sessions[node],
        user_sessions: user_sessions[node],
        load1: load1[node],
        load5: load5[node],
        load15: load15[node],
        unseen5: unseen5[node],
        memory_total: memory_total[node],
        memory_available: memory_available[node],
        cpus_promised: cpus_promised[node],
        memory_promised: memory_promised[node],
        name: Text::Host { column: Rc::clone(&names), node },
        address: Text::Host { column: Rc::clone(&addresses), node },
        labels: Lookup::Host { columns: Rc::clone(&labels), node },
        metrics: Lookup::Host { columns: Rc::clone(&metrics), node },
    };
    (0..cores.len()).map(node).collect()
}

/// The request with every field.
pub(crate) fn request() -> Request {
    Request {
        username: asked::username(),
        groups: asked::groups(),
        kind: asked::kind(),
        cpus: asked::cpus(),
        memory: asked::memory(),
        previous_node: asked::previous_node(),
        now: asked::now(),
        seed: asked::seed(),
        sequence: asked::sequence(),
        labels: Lookup::Host { columns: Columns::new(|key| vec![asked::label(key)]), node: 0 },
    }
}
