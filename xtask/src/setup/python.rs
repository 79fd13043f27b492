//! What comes as Python packages, each in an environment of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, umask};

use super::place::{Place, is_marked, mark};
use crate::command::behind_progress;

/// A Python environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// What it is for.
    pub(super) title: &'static str,
    place: Place,
    /// What is installed.
    pub(super) requirements: &'static [&'static str],
    /// MB.
    pub(super) size: u32,
    /// A program that it has when it is whole.
    program: &'static str,
}

/// What sessions run. Their users must be able to read it.
pub(crate) const JUPYTER: Environment = Environment {
    title: "JupyterLab and Jupyter Notebook",
    place: Place { folder: "jupyter", public: Some("/opt/evenkeel-dev/jupyter") },
    requirements: &["jupyterlab>=4.4,<5", "notebook>=7.4,<8"],
    size: 260,
    program: "jupyter-lab",
};

/// What sessions are compared with, by `cargo xtask bench sessions`. Its proxy is Node's.
pub(crate) const JUPYTERHUB: Environment = Environment {
    title: "JupyterHub",
    place: Place { folder: "jupyterhub", public: None },
    requirements: &["jupyterhub>=5.2,<6", "jupyterlab>=4.4,<5"],
    size: 300,
    program: "jupyterhub",
};

/// Makes balancers of Python programs, for the tests.
pub(crate) const COMPONENTIZE: Environment = Environment {
    title: "componentize-py",
    place: Place { folder: "componentize-py", public: None },
    requirements: &["componentize-py>=0.25,<0.26"],
    size: 72,
    program: "componentize-py",
};

/// The system's own: another may lie in a home that the users of sessions cannot enter.
const PYTHON: &str = "/usr/bin/python3";

/// Whether the system's Python can make an environment.
pub(super) fn is_complete() -> bool {
    let mut command = Command::new(PYTHON);
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Environment {
    /// The directory of its programs.
    pub(crate) fn programs(&self) -> Result<PathBuf> {
        Ok(self.place.directory()?.join("bin"))
    }

    /// The directory that lacks it, or none.
    pub(super) fn missing(&self) -> Result<Option<PathBuf>> {
        let directory = self.place.directory()?;
        Ok((!self.is_complete(&directory)).then_some(directory))
    }

    /// Makes it, in place of one that an interrupted installation has left.
    pub(super) fn install(&self, directory: &Path) -> Result<()> {
        let previous = umask(Mode::from_bits_truncate(0o022));
        let outcome = self.install_readable(directory);
        umask(previous);
        outcome
    }

    fn install_readable(&self, directory: &Path) -> Result<()> {
        let context = || directory.display().to_string();
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent).with_context(context)?;
        }
        let mut command = Command::new(PYTHON);
        command.args(["-m", "venv", "--clear"]).arg(directory);
        behind_progress("Making a Python environment", command)?;
        let mut command = Command::new(directory.join("bin/pip"));
        command.args(["install", "--disable-pip-version-check", "--no-input"]).args(self.requirements);
        behind_progress(&format!("Installing {}", self.title), command)?;
        // Last, so that an environment that has it is whole.
        mark(directory, &self.requirements.join("\n"))
    }

    fn is_complete(&self, directory: &Path) -> bool {
        is_marked(directory, &self.requirements.join("\n")) && directory.join("bin").join(self.program).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_installation_is_not_complete() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        fs::write(directory.path().join("bin/jupyter-lab"), "").unwrap();
        assert!(!JUPYTER.is_complete(directory.path()));
        mark(directory.path(), &JUPYTER.requirements.join("\n")).unwrap();
        assert!(JUPYTER.is_complete(directory.path()));
    }
}
