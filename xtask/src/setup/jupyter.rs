//! JupyterLab and Jupyter Notebook, in a Python environment of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::stat::{Mode, umask},
    unistd::geteuid,
};

use crate::{command::behind_progress, workspace};

/// What is installed.
pub(crate) const REQUIREMENTS: [&str; 2] = ["jupyterlab>=4.4,<5", "notebook>=7.4,<8"];

/// The system's own: another may lie in a home that the users of sessions cannot enter.
const PYTHON: &str = "/usr/bin/python3";

/// Where the environment goes if root works in a directory that others cannot enter: sessions must be able to read it.
const PUBLIC: &str = "/opt/evenkeel-dev/jupyter";

/// The directory of its programs.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(directory()?.join("bin"))
}

/// The directory that lacks it, or none.
pub(super) fn missing() -> Result<Option<PathBuf>> {
    let directory = directory()?;
    Ok((!is_complete(&directory)).then_some(directory))
}

/// Whether the system's Python can make an environment.
pub(super) fn python_is_complete() -> bool {
    let mut command = Command::new(PYTHON);
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes the environment, in place of one that an interrupted installation has left.
pub(super) fn install(directory: &Path) -> Result<()> {
    let previous = umask(Mode::from_bits_truncate(0o022));
    let outcome = install_readable(directory);
    umask(previous);
    outcome
}

fn install_readable(directory: &Path) -> Result<()> {
    let context = || directory.display().to_string();
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    let mut command = Command::new(PYTHON);
    command.args(["-m", "venv", "--clear"]).arg(directory);
    behind_progress("Making a Python environment", command)?;
    let mut command = Command::new(directory.join("bin/pip"));
    command.args(["install", "--disable-pip-version-check", "--no-input"]).args(REQUIREMENTS);
    behind_progress("Installing JupyterLab and Jupyter Notebook", command)?;
    // Last, so that an environment that has it is whole.
    fs::write(mark(directory), REQUIREMENTS.join("\n")).with_context(context)?;
    Ok(())
}

fn is_complete(directory: &Path) -> bool {
    fs::read_to_string(mark(directory)).is_ok_and(|installed| installed == REQUIREMENTS.join("\n"))
        && directory.join("bin/jupyter-lab").is_file()
}

fn mark(directory: &Path) -> PathBuf {
    directory.join("evenkeel-requirements.txt")
}

fn directory() -> Result<PathBuf> {
    let target = workspace::target()?;
    let public = !geteuid().is_root() || others_can_enter(&target);
    Ok(if public { target.join("jupyter") } else { PUBLIC.into() })
}

/// Whether every directory on the way lets others through.
fn others_can_enter(path: &Path) -> bool {
    path.ancestors().all(|directory| fs::metadata(directory).is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_below_a_private_one_cannot_be_entered_by_others() {
        let private = tempfile::tempdir().unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        let inner = private.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!others_can_enter(&inner));
        assert!(others_can_enter(Path::new("/usr/bin")));
    }

    #[test]
    fn an_interrupted_installation_is_not_complete() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        fs::write(directory.path().join("bin/jupyter-lab"), "").unwrap();
        assert!(!is_complete(directory.path()));
        fs::write(mark(directory.path()), REQUIREMENTS.join("\n")).unwrap();
        assert!(is_complete(directory.path()));
    }
}
