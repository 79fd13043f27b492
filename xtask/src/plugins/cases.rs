//! Has the host answer the decision cases of `plugins/cases` with the modules of a directory.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

/// The host's tests that run the cases, and the variable that tells them where the modules are.
const TESTS: &str = "plugin_cases";
const VARIABLE: &str = "EVENKEEL_PLUGINS_DIST";

/// Fails where a case is answered otherwise, or where there is no test that asks.
pub(super) fn run(root: &Path, modules: &Path) -> anyhow::Result<()> {
    eprintln!("Asking the modules in {} the decision cases.", modules.display());
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).env(VARIABLE, modules);
        cargo
    };
    let nextest = cargo().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = if nextest.is_ok_and(|status| status.success()) {
        // It fails by itself where no test has the name.
        cargo().args(["nextest", "run", "--package", "evenkeel", TESTS]).status()
    } else {
        let listed = cargo()
            .args(["test", "--package", "evenkeel", TESTS, "--", "--list", "--format", "terse"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        let found = String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.ends_with(": test"));
        ensure!(listed.status.success() && found, "package `evenkeel` has no test named `{TESTS}`");
        cargo().args(["test", "--package", "evenkeel", TESTS]).status()
    };
    let status = status.context("cannot start cargo")?;
    ensure!(status.success(), "`{TESTS}` with {VARIABLE}={} ended with {status}", modules.display());
    Ok(())
}
