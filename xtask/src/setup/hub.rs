//! JupyterHub with its proxy, which only a benchmark wants.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use super::{JUPYTERHUB, runs};
use crate::command::behind_progress;

/// Its proxy, from npm.
const PROXY: &str = "configurable-http-proxy@4";

/// Installs what is missing of it; the directory of its programs.
pub(crate) fn provide() -> Result<PathBuf> {
    ensure!(runs("npm"), "JupyterHub's proxy comes by npm, which is not installed");
    if let Some(directory) = JUPYTERHUB.missing()? {
        JUPYTERHUB.install(&directory)?;
    }
    let programs = JUPYTERHUB.programs()?;
    if !programs.join("configurable-http-proxy").is_file() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--global", "--no-audit", "--no-fund", "--no-update-notifier", PROXY]);
        npm.arg("--prefix").args(programs.parent());
        behind_progress("Installing JupyterHub's proxy", npm)?;
    }
    Ok(programs)
}
