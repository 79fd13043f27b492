//! Where things lie in the project, and running its cargo.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's target directory: the one that this program was built in.
pub(crate) fn target() -> Result<PathBuf> {
    let profile = evenkeel_tests::binaries::directory()?;
    Ok(profile.parent().context("this program lies outside a target directory")?.to_owned())
}

/// The cargo that runs this program, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}
