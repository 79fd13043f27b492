//! `plugin wit`.

use serde_json::json;

use crate::balancer::wasm::CONTRACT_VERSION;

/// The contract that this program implements.
const CONTRACT: &str = include_str!("../../../../wit/1.0.0/balancer.wit");

/// What is printed: the contract itself, which tools take as it is, or JSON that holds it.
pub(super) fn print(as_json: bool) -> String {
    if as_json {
        return json!({ "version": CONTRACT_VERSION, "wit": CONTRACT }).to_string();
    }
    CONTRACT.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_that_is_printed_is_the_one_that_balancers_are_loaded_by() {
        let package = format!("\npackage evenkeel:balancer@{CONTRACT_VERSION};\n");
        assert!(print(false).contains(&package));
        let document: serde_json::Value = serde_json::from_str(&print(true)).unwrap();
        assert_eq!((&document["version"], &document["wit"]), (&CONTRACT_VERSION.into(), &CONTRACT.into()));
    }
}
