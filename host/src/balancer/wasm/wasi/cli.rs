//! `wasi:cli`: no arguments, no environment, no terminal; an exit is a failure.

use wasmtime::{Result, StoreContextMut, component::LinkerInstance, component::Resource};

use super::state::{InputStream, OutputStream, Terminal};
use crate::balancer::wasm::guest::Guest;

/// The guest ended itself.
#[derive(Debug, thiserror::Error)]
#[error("it ended itself with exit status {0} instead of answering")]
struct Exit(u8);

/// Defines a function, where it is known.
pub(super) fn define(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<bool> {
    match (interface, name) {
        ("environment", "get-environment") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
        }
        ("environment", "get-arguments") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((Vec::<String>::new(),)))?;
        }
        ("environment", "initial-cwd") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((None::<String>,)))?;
        }
        ("exit", "exit") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (status,): (Result<(), ()>,)| {
                Err::<(), _>(Exit(u8::from(status.is_err())).into())
            })?;
        }
        ("exit", "exit-with-code") => {
            instance
                .func_wrap(name, |_: StoreContextMut<'_, Guest>, (status,): (u8,)| Err::<(), _>(Exit(status).into()))?;
        }
        ("stdin", "get-stdin") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| {
                Ok((store.data_mut().wasi.hold(InputStream)?,))
            })?;
        }
        ("stdout", "get-stdout") => output(instance, name, OutputStream::Out)?,
        ("stderr", "get-stderr") => output(instance, name, OutputStream::Error)?,
        ("terminal-stdin", "get-terminal-stdin")
        | ("terminal-stdout", "get-terminal-stdout")
        | ("terminal-stderr", "get-terminal-stderr") => {
            instance.func_wrap(name, |_: StoreContextMut<'_, Guest>, (): ()| Ok((None::<Resource<Terminal>>,)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(instance: &mut LinkerInstance<'_, Guest>, name: &str, stream: OutputStream) -> Result<()> {
    instance.func_wrap(name, move |mut store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((store.data_mut().wasi.hold(stream)?,))
    })
}
