//! `wasi:io`: waiting that does not wait, an input that has ended, outputs that are the log.

use wasmtime::{
    Error, Result, StoreContextMut,
    component::{ComponentType, Lift, LinkerInstance, Lower, Resource, WasmList},
};

use super::{
    print,
    state::{Failure, InputStream, OutputStream, Pollable},
};
use crate::balancer::wasm::guest::Guest;

/// Bytes that are taken in one call.
const WRITE: usize = 64 << 10;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Failure>),
    #[component(name = "closed")]
    Closed,
}

/// Defines a function, where it is known.
pub(super) fn define(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<bool> {
    match (interface, name) {
        ("poll", _) => poll(instance, name),
        ("streams", _) => match name.strip_prefix("[method]input-stream.") {
            Some(method) => input(instance, name, method),
            None => output(instance, name),
        },
        _ => Ok(false),
    }
}

fn poll(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<bool> {
    match name {
        "[method]pollable.ready" => {
            instance.func_wrap(name, |store: StoreContextMut<'_, Guest>, (pollable,): (Resource<Pollable>,)| {
                let wasi = &store.data().wasi;
                Ok((wasi.handles.get(&pollable)?.due <= wasi.clock,))
            })?;
        }
        "[method]pollable.block" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (pollable,): (Resource<Pollable>,)| {
                let wasi = &mut store.data_mut().wasi;
                wasi.clock = wasi.clock.max(wasi.handles.get(&pollable)?.due);
                Ok(())
            })?;
        }
        "poll" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Guest>, (list,): (Vec<Resource<Pollable>>,)| {
                    let wasi = &mut store.data_mut().wasi;
                    let mut due = Vec::with_capacity(list.len());
                    for pollable in &list {
                        due.push(wasi.handles.get(pollable)?.due);
                    }
                    let first = due.iter().min().ok_or_else(|| Error::msg("it waited for nothing"))?;
                    wasi.clock = wasi.clock.max(*first);
                    Ok(((0_u32..)
                        .zip(due)
                        .filter(|(_, due)| *due <= wasi.clock)
                        .map(|(index, _)| index)
                        .collect::<Vec<_>>(),))
                },
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn input(instance: &mut LinkerInstance<'_, Guest>, name: &str, method: &str) -> Result<bool> {
    type Asked = (Resource<InputStream>, u64);
    match method {
        "read" | "blocking-read" => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, _: Asked| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            })?;
        }
        "skip" | "blocking-skip" => {
            instance
                .func_wrap(name, |_: StoreContextMut<'_, Guest>, _: Asked| Ok((Err::<u64, _>(StreamError::Closed),)))?;
        }
        "subscribe" => subscribe::<InputStream>(instance, name)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<bool> {
    let Some(method) = name.strip_prefix("[method]output-stream.") else { return Ok(false) };
    type Stream = Resource<OutputStream>;
    match method {
        "check-write" => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, _: (Stream,)| {
                Ok((Ok::<_, StreamError>(WRITE as u64),))
            })?;
        }
        "write" | "blocking-write-and-flush" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Guest>, (stream, bytes): (Stream, WasmList<u8>)| {
                    if bytes.len() > WRITE {
                        return Err(Error::msg(format!("it wrote more than {WRITE} bytes in one call")));
                    }
                    let stream = *store.data().wasi.handles.get(&stream)?;
                    let bytes = bytes.as_le_slice(&store).to_vec();
                    print::write(store.data_mut(), stream, &bytes);
                    Ok((Ok::<_, StreamError>(()),))
                },
            )?;
        }
        "flush" | "blocking-flush" => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, _: (Stream,)| Ok((Ok::<_, StreamError>(()),)))?;
        }
        "write-zeroes" | "blocking-write-zeroes-and-flush" => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, _: (Stream, u64)| {
                Ok((Err::<(), _>(StreamError::Closed),))
            })?;
        }
        "splice" | "blocking-splice" => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, _: (Stream, Resource<InputStream>, u64)| {
                Ok((Err::<u64, _>(StreamError::Closed),))
            })?;
        }
        "subscribe" => subscribe::<OutputStream>(instance, name)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// A stream is always ready: it has ended, or it is the log.
fn subscribe<T: 'static>(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, _: (Resource<T>,)| {
        Ok((store.data_mut().wasi.hold(Pollable { due: 0 })?,))
    })
}
