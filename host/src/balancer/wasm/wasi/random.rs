//! `wasi:random`: everything is drawn from the request's seed, so that a decision can be repeated.

use sha2::{Digest, Sha256};
use wasmtime::{Error, Result, StoreContextMut, component::LinkerInstance};

use crate::balancer::wasm::guest::Guest;

/// Bytes that are drawn in one call.
const BYTES: u64 = 64 << 10;

/// Defines a function, where it is known.
pub(super) fn define(instance: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> Result<bool> {
    match (interface, name) {
        ("random", "get-random-bytes") | ("insecure", "get-insecure-random-bytes") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (length,): (u64,)| {
                let length = usize::try_from(length.min(BYTES + 1))?;
                if length as u64 > BYTES {
                    return Err(Error::msg(format!("it drew more than {BYTES} random bytes in one call")));
                }
                let mut bytes = Vec::with_capacity(length + 32);
                while bytes.len() < length {
                    bytes.extend(draw(store.data_mut()));
                }
                bytes.truncate(length);
                Ok((bytes,))
            })?;
        }
        ("random", "get-random-u64") | ("insecure", "get-insecure-random-u64") => {
            instance
                .func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| Ok((number(store.data_mut()),)))?;
        }
        ("insecure-seed", "insecure-seed" | "get-insecure-seed") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| {
                let guest = store.data_mut();
                Ok(((number(guest), number(guest)),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The next block.
fn draw(guest: &mut Guest) -> [u8; 32] {
    let drawn = guest.wasi.drawn;
    guest.wasi.drawn = drawn.wrapping_add(1);
    let digest = Sha256::new().chain_update(guest.request.seed.to_le_bytes()).chain_update(drawn.to_le_bytes());
    digest.finalize().into()
}

fn number(guest: &mut Guest) -> u64 {
    draw(guest).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
