//! Compiles the examples of the SDK for Rust.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use super::{build, toolchain::Toolchain};

/// Compiles all of them, to `target/plugins/examples`, and returns their modules.
pub(crate) fn make(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let toolchain = Toolchain::find(root)?;
    let crates: Vec<_> =
        names(root)?.into_iter().map(|name| (name.clone(), format!("evenkeel-example-{name}"))).collect();
    let built = build::modules(root, &toolchain, "the examples of the SDK", &crates, "examples")?;
    println!("{} modules in {}", crates.len(), built.strip_prefix(root)?.display());
    Ok(crates.iter().map(|(name, _)| super::module(&built, name)).collect())
}

/// Their names: each has a crate of the name `evenkeel-example-NAME` in a directory `NAME`.
fn names(root: &Path) -> anyhow::Result<Vec<String>> {
    let directory = root.join("sdk/rust/examples");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            let name = path.file_name().and_then(|name| name.to_str());
            names.push(name.with_context(|| path.display().to_string())?.to_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} has no example", directory.display());
    Ok(names)
}
