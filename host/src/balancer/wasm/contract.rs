//! Which contract a module was built for, read from its bytes before anything of it runs.

use wasmparser::{Encoding, Parser, Payload, Validator};
use wit_component::ComponentEncoder;

use super::{LoadError, wasi};
use crate::balancer::text;

/// The version of the contract in `wit/` that this host implements. A balancer built for any other 1.x is taken where the
/// host has every function that it calls.
pub const VERSION: &str = "1.0.0";

/// The interfaces that a balancer may import.
const INTERFACES: [&str; 5] = ["nodes", "request", "settings", "answer", "log"];
const PACKAGE: &str = "evenkeel:balancer/";

/// The component that `bytes` are or become, and the name under which it exports its policy.
pub(super) fn component(bytes: &[u8]) -> Result<(Vec<u8>, String), LoadError> {
    let component = componentize(bytes)?;
    let export = policy(&component)?;
    Ok((component, export))
}

/// The component that `bytes` are, or that they become: a core module that carries its component type (what a compiler
/// gives with the SDK) is wrapped.
fn componentize(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    match encoding(bytes)? {
        Encoding::Component => Ok(bytes.to_vec()),
        Encoding::Module => {
            // The encoder takes for granted that the module is one.
            Validator::new().validate_all(bytes).map_err(LoadError::invalid)?;
            ComponentEncoder::default()
                .validate(true)
                .module(bytes)
                .and_then(|mut encoder| encoder.encode())
                .map_err(|error| LoadError::invalid(format_args!("{error:#}")))
        }
    }
}

fn encoding(bytes: &[u8]) -> Result<Encoding, LoadError> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        _ => Err(LoadError::NotWasm),
    }
}

/// Checks that a component imports nothing but the contract and what there is of WASI and exports a policy, and returns
/// the name of that export.
fn policy(component: &[u8]) -> Result<String, LoadError> {
    let names = names(component).map_err(LoadError::invalid)?;
    for import in &names.imports {
        let allowed = import
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'))
            .filter(|(interface, _)| INTERFACES.contains(interface));
        match allowed {
            Some((_, version)) => supported(version)?,
            None if wasi::serves(import) => {}
            None => return Err(LoadError::Import(text::clean(import, 200))),
        }
    }
    let policy = names.exports.into_iter().find(|name| name.starts_with("evenkeel:balancer/policy@"));
    let policy = policy.ok_or(LoadError::NoPolicy)?;
    supported(version(&policy))?;
    Ok(policy)
}

/// The version in the name of an interface.
pub(super) fn version(interface: &str) -> &str {
    interface.split_once('@').map_or("", |(_, version)| version)
}

fn supported(version: &str) -> Result<(), LoadError> {
    let numbers: Vec<Option<u64>> = version.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => Err(LoadError::Version { found: text::clean(version, 40) }),
    }
}

#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// What the outermost component imports and exports.
fn names(component: &[u8]) -> wasmparser::Result<Names> {
    let mut names = Names::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}
