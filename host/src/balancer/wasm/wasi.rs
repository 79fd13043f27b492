//! WASI 0.2 as balancers get it: whatever a runtime needs to start, and nothing of the machine.
//!
//! Interpreters such as Python's and JavaScript's import most of WASI whether their program uses it or not. Each component
//! gets a linker of its own with just the functions that it imports, so that any 0.2 is served, and a component without
//! WASI costs nothing. Nothing here waits for anything, since no deadline reaches code of the host; and everything is a
//! function of the question, so that a decision can be repeated.

use wasmtime::{
    Error, Result, StoreContextMut,
    component::{
        Component, Linker, LinkerInstance, Resource, ResourceType, Val,
        types::{ComponentFunc, ComponentItem, Type},
    },
};

use super::guest::Guest;

mod cli;
mod clocks;
mod io;
mod print;
mod random;
mod state;

pub(super) use print::finish;
pub(super) use state::Wasi;
use state::{Descriptor, Failure, InputStream, Network, OutputStream, Pollable, Terminal};

/// The packages of which a component may import; the rest of WASI, HTTP above all, is refused by name.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Whether a component may import this interface.
pub(super) fn serves(import: &str) -> bool {
    let Some((interface, version)) = name(import) else { return false };
    let numbers: Vec<Option<u64>> = version.split('.').map(|number| number.parse().ok()).collect();
    let package = interface.split_once('/').map_or(interface, |(package, _)| package);
    PACKAGES.contains(&package) && matches!(numbers[..], [Some(0), Some(2), Some(_)])
}

/// Package and interface, and version, of an import of WASI.
fn name(import: &str) -> Option<(&str, &str)> {
    import.strip_prefix("wasi:")?.split_once('@')
}

/// The linker for a component that imports WASI, or none for one that does not.
pub(super) fn linker(linker: &Linker<Guest>, component: &Component) -> Result<Option<Linker<Guest>>> {
    let engine = component.engine();
    let mut extended = None;
    for (import, item) in component.component_type().imports(engine) {
        let Some((interface, _)) = name(import) else { continue };
        let ComponentItem::ComponentInstance(exports) = item.ty else { continue };
        let linker = extended.get_or_insert_with(|| linker.clone());
        let mut instance = linker.instance(import)?;
        for (name, item) in exports.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => resource(&mut instance, name)?,
                ComponentItem::ComponentFunc(_) => function(&mut instance, interface, name)?,
                _ => {}
            }
        }
    }
    Ok(extended)
}

fn resource(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    match name {
        "pollable" => held::<Pollable>(instance, name),
        "input-stream" => held::<InputStream>(instance, name),
        "output-stream" => held::<OutputStream>(instance, name),
        "network" => held::<Network>(instance, name),
        "error" => held::<Failure>(instance, name),
        "descriptor" => held::<Descriptor>(instance, name),
        "terminal-input" | "terminal-output" => held::<Terminal>(instance, name),
        // Of the rest, sockets above all, none is ever given out.
        _ => instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(())),
    }
}

/// Defines a resource that takes one of the guest's handles.
fn held<T: Send + 'static>(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |mut store, handle| {
        store.data_mut().wasi.handles.delete(Resource::<T>::new_own(handle))?;
        Ok(())
    })
}

fn function(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<()> {
    let known = match interface.split_once('/') {
        Some(("cli", interface)) => cli::define(instance, interface, name)?,
        Some(("clocks", interface)) => clocks::define(instance, interface, name)?,
        Some(("io", interface)) => io::define(instance, interface, name)?,
        Some(("random", interface)) => random::define(instance, interface, name)?,
        _ => files_and_sockets(instance, interface, name)?,
    };
    if known {
        return Ok(());
    }
    let called = format!("wasi:{interface} {name}");
    instance.func_new(name, move |mut store, ty, arguments, results| {
        give_back(&mut store, arguments)?;
        refuse(&called, &ty, results)
    })
}

/// Ends the loan of the handles that a call was given: a guest whose call returns with one of them lent is stopped.
fn give_back(store: &mut StoreContextMut<'_, Guest>, arguments: &[Val]) -> Result<()> {
    for argument in arguments {
        if let Val::Resource(handle) = argument {
            handle.resource_drop(&mut *store)?;
        }
    }
    Ok(())
}

fn files_and_sockets(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<bool> {
    match (interface, name) {
        ("filesystem/preopens", "get-directories") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| {
                Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
            })?;
        }
        // A handle to a network is no access: whatever it is passed to refuses.
        ("sockets/instance-network", "instance-network") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| {
                Ok((store.data_mut().wasi.hold(Network)?,))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Ends a call of anything else: with the error that its own type has for a lack of permission, so that a program can go
/// on; where it has none, the guest is stopped.
fn refuse(called: &str, ty: &ComponentFunc, results: &mut [Val]) -> Result<()> {
    let denial = ty.results().next().and_then(|result| match result {
        Type::Result(result) => result.err(),
        _ => None,
    });
    if let (Some(Type::Enum(codes)), [result]) = (denial, results)
        && let Some(code) = codes.names().find(|code| ["access-denied", "not-permitted"].contains(code))
    {
        *result = Val::Result(Err(Some(Box::new(Val::Enum(code.to_owned())))));
        return Ok(());
    }
    Err(Error::msg(format!("it called {called}, which balancers are not given")))
}
