//! Compiles balancers.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{
    module,
    toolchain::{TARGET, Toolchain},
};

/// Compiles modules, each a name and a package, and returns the directory that they are in, each as `NAME.wasm`.
pub(super) fn modules(root: &Path, toolchain: &Toolchain, packages: &[(&str, String)]) -> anyhow::Result<PathBuf> {
    // A directory of its own: neither compiler throws away what the other has built.
    let target = root.join("target/plugins");
    let first = toolchain.builds_std() && !target.join(TARGET).is_dir();
    let note = if first { "\nand the standard library, which takes some 90 seconds this once" } else { "" };
    eprintln!("Compiling balancers to WebAssembly with {}{note}.", toolchain.description);

    let mut fetch = toolchain.cargo(root);
    let fetched = fetch.arg("fetch").args(toolchain.arguments()).status().context("cannot start cargo")?;
    ensure!(fetched.success(), "fetching the crates that the balancers need failed");

    let mut build = toolchain.cargo(root);
    build.args(["build", "--profile", "plugin"]).args(toolchain.arguments());
    build.arg("--target-dir").arg(&target).env("CARGO_ENCODED_RUSTFLAGS", toolchain.flags(root)?);
    for (_, package) in packages {
        build.arg("--package").arg(package);
    }
    let status = build.status().context("cannot start cargo")?;
    ensure!(status.success(), "compiling the balancers failed");

    let built = target.join(TARGET).join("plugin");
    let dist = target.join("dist");
    std::fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for (name, package) in packages {
        let from = module(&built, &package.replace('-', "_"));
        let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = module(&dist, name);
        std::fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(dist)
}
