//! The host's side of the contract: what a guest can call.

use std::{collections::BTreeMap, sync::Arc};

use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, LinkerInstance, Lower, WasmList, WasmStr},
};

use super::{contract::VERSION, guest::Guest};
use crate::balancer::{Columns, LogLevel, Request, check, text};

/// Bytes that are kept of a reason.
const REASON: usize = 1_024;

/// Everything that a guest may import.
pub(super) fn linker(engine: &wasmtime::Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let name = |interface: &str| format!("evenkeel:balancer/{interface}@{VERSION}");
    nodes(&mut linker.instance(&name("nodes"))?)?;
    request(&mut linker.instance(&name("request"))?)?;
    settings(&mut linker.instance(&name("settings"))?)?;
    answer(&mut linker.instance(&name("answer"))?)?;
    log(&mut linker.instance(&name("log"))?)?;
    Ok(linker)
}

/// Defines a function that returns one column. The list is shared with the question: its items are copied once, into the
/// guest's memory.
fn column<T>(
    instance: &mut LinkerInstance<'_, Guest>,
    name: &str,
    pick: impl Fn(&Columns) -> &Arc<[T]> + Send + Sync + 'static,
) -> Result<()>
where
    T: Lower + Send + Sync + 'static,
{
    instance
        .func_wrap(name, move |store: StoreContextMut<'_, Guest>, (): ()| Ok((Arc::clone(pick(&store.data().nodes)),)))
}

/// Defines a function that returns one fact about the request.
fn fact<T>(
    instance: &mut LinkerInstance<'_, Guest>,
    name: &str,
    pick: impl Fn(&Request) -> T + Send + Sync + 'static,
) -> Result<()>
where
    T: Lower + Send + Sync + 'static,
{
    instance.func_wrap(name, move |store: StoreContextMut<'_, Guest>, (): ()| Ok((pick(&store.data().request),)))
}

fn nodes(instance: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    instance.func_wrap("count", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((u32::try_from(store.data().nodes.count())?,))
    })?;
    column(instance, "addresses", |nodes| &nodes.addresses)?;
    column(instance, "names", |nodes| &nodes.names)?;
    column(instance, "name-hashes", |nodes| &nodes.name_hashes)?;
    column(instance, "cores", |nodes| &nodes.cores)?;
    column(instance, "weights", |nodes| &nodes.weights)?;
    column(instance, "capacities", |nodes| &nodes.capacities)?;
    column(instance, "sessions", |nodes| &nodes.sessions)?;
    column(instance, "load1", |nodes| &nodes.load1)?;
    column(instance, "load5", |nodes| &nodes.load5)?;
    column(instance, "load15", |nodes| &nodes.load15)?;
    column(instance, "unseen5", |nodes| &nodes.unseen5)?;
    column(instance, "memory-total", |nodes| &nodes.memory_total)?;
    column(instance, "memory-available", |nodes| &nodes.memory_available)?;
    column(instance, "cpus-promised", |nodes| &nodes.cpus_promised)?;
    column(instance, "memory-promised", |nodes| &nodes.memory_promised)?;
    instance.func_wrap("user-sessions", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Arc::clone(&store.data().user_sessions),))
    })?;
    instance.func_wrap("label", |store: StoreContextMut<'_, Guest>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((each(&store.data().nodes.labels, &key),))
    })?;
    instance.func_wrap("metric", |store: StoreContextMut<'_, Guest>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((each(&store.data().nodes.metrics, &key),))
    })
}

/// The value that each map has for a key.
fn each<T: Clone>(maps: &[BTreeMap<String, T>], key: &str) -> Vec<Option<T>> {
    maps.iter().map(|map| map.get(key).cloned()).collect()
}

fn request(instance: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    fact(instance, "username", |request| request.username.clone())?;
    fact(instance, "groups", |request| request.groups.clone())?;
    fact(instance, "kind", |request| request.kind.clone())?;
    fact(instance, "cpus", |request| request.cpus)?;
    fact(instance, "memory", |request| request.memory)?;
    fact(instance, "previous-node", |request| request.previous_node.clone())?;
    fact(instance, "now", |request| request.now)?;
    fact(instance, "seed", |request| request.seed)?;
    fact(instance, "sequence", |request| request.sequence)?;
    instance.func_wrap("label", |store: StoreContextMut<'_, Guest>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((store.data().request.labels.get(&*key).cloned(),))
    })
}

fn settings(instance: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    instance.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((store.data().settings.get(&*key).cloned(),))
    })
}

fn answer(instance: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    instance.func_wrap("scores", |mut store: StoreContextMut<'_, Guest>, (list,): (WasmList<f64>,)| {
        let count = store.data().nodes.count();
        // Its length is looked at before anything is allocated for it.
        if list.len() != count {
            return Err(check::AnswerError::ScoreCount { given: list.len(), count }.into());
        }
        let scores = list.iter(&mut store)?.collect::<Result<Vec<f64>>>()?;
        check::scores(&scores, count)?;
        store.data_mut().said.scores = Some(scores);
        Ok(())
    })?;
    instance.func_wrap("reason", |mut store: StoreContextMut<'_, Guest>, (reason,): (WasmStr,)| {
        let reason = text::clean(&reason.to_str(&store)?, REASON);
        store.data_mut().said.reason = Some(reason);
        Ok(())
    })
}

fn log(instance: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    let levels =
        [("debug", LogLevel::Debug), ("info", LogLevel::Info), ("warn", LogLevel::Warn), ("error", LogLevel::Error)];
    for (name, level) in levels {
        instance.func_wrap(name, move |mut store: StoreContextMut<'_, Guest>, (message,): (WasmStr,)| {
            if store.data_mut().said.has_room() {
                let message = text::clean(&message.to_str(&store)?, store.data().said.line);
                store.data_mut().said.write(level, message);
            }
            Ok(())
        })?;
    }
    Ok(())
}
