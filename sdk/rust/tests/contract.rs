//! The crate carries a copy of the contract, since a published crate has no folder above its own.
//! In that published crate there is nothing to compare with, so this test stays behind.

use std::{fs, path::Path};

#[test]
fn the_copy_of_the_contract_is_the_contract() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = env!("CARGO_PKG_VERSION");
    let ours = fs::read_to_string(here.join("wit/balancer.wit")).unwrap();
    let theirs = fs::read_to_string(here.join("../../wit").join(version).join("balancer.wit")).unwrap();
    assert!(ours == theirs, "copy wit/{version}/balancer.wit to sdk/rust/wit/");
    assert!(ours.contains(&format!("\npackage evenkeel:balancer@{version};\n")));
}
