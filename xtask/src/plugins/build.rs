//! Compiles the builtin balancers.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{
    BUILTIN, module,
    toolchain::{TARGET, Toolchain},
};

/// Compiles all modules and returns the directory that they are in, each as `NAME.wasm`.
pub(super) fn modules(root: &Path, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    // A directory of its own: neither compiler throws away what the other has built.
    let target = root.join("target/plugins");
    let first = toolchain.builds_std() && !target.join(TARGET).is_dir();
    let note = if first { "\nand the standard library, which takes some 90 seconds this once" } else { "" };
    eprintln!("Compiling the builtin balancers to WebAssembly with {}{note}.", toolchain.description);

    let mut build = toolchain.cargo(root)?;
    build.args(["build", "--locked", "--profile", "plugin", "--target", TARGET]).args(toolchain.arguments());
    build.arg("--target-dir").arg(&target);
    for name in BUILTIN {
        build.arg("--package").arg(package(name));
    }
    let status = build.status().context("cannot start cargo")?;
    ensure!(status.success(), "compiling the builtin balancers failed");

    let built = target.join(TARGET).join("plugin");
    let dist = target.join("dist");
    std::fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for name in BUILTIN {
        let from = module(&built, &package(name).replace('-', "_"));
        std::fs::copy(&from, module(&dist, name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(dist)
}

fn package(name: &str) -> String {
    format!("evenkeel-plugin-{name}")
}
