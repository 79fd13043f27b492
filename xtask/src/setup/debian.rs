//! Installing Debian packages, with no service started by any of them.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

use crate::command::behind_progress;

/// What maintainer scripts ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Tells our policy from any other, so that one that a killed run has left is found.
const MARK: &str = "# Written by `cargo xtask setup`, which removes it again.";

/// Whether packages can be installed: by root, on Debian or a system derived from it.
pub(super) fn may_install() -> bool {
    geteuid().is_root() && Path::new("/etc/debian_version").exists() && Path::new("/usr/bin/apt-get").exists()
}

/// Whether a package is installed.
pub(super) fn installed(package: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout == b"installed")
}

/// The line that installs packages, for a person to run.
pub(super) fn line(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs packages.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let _no_services = NoServices::declare(Path::new(POLICY))?;
    let title = format!("Installing {}", packages.join(" "));
    if packages.iter().all(|package| has_candidate(package)) && behind_progress(&title, apt_install(packages)).is_ok() {
        return Ok(());
    }
    // The lists of packages are missing or name versions that are no longer offered.
    behind_progress("Updating the lists of packages", apt(&["update"]))?;
    behind_progress(&title, apt_install(packages))
}

fn has_candidate(package: &str) -> bool {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
    })
}

fn apt_install(packages: &[&str]) -> Command {
    let mut command = apt(&["install", "--yes", "--no-install-recommends"]);
    command.args(packages);
    command
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confold"]);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// While it lives, no package may start a service.
#[derive(Debug)]
struct NoServices {
    policy: PathBuf,
}

impl NoServices {
    fn declare(policy: &Path) -> Result<Self> {
        let this = Self { policy: policy.to_owned() };
        let context = || policy.display().to_string();
        if !this.is_ours() && policy.exists() {
            fs::rename(policy, this.aside()).with_context(context)?;
        }
        fs::write(policy, format!("#!/bin/sh\n{MARK}\nexit 101\n")).with_context(context)?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).with_context(context)?;
        Ok(this)
    }

    fn is_ours(&self) -> bool {
        fs::read_to_string(&self.policy).is_ok_and(|text| text.contains(MARK))
    }

    fn aside(&self) -> PathBuf {
        self.policy.with_extension("d.before-evenkeel")
    }

    fn withdraw(&self) -> io::Result<()> {
        if self.is_ours() {
            fs::remove_file(&self.policy)?;
        }
        if self.aside().exists() { fs::rename(self.aside(), &self.policy) } else { Ok(()) }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Err(error) = self.withdraw() {
            eprintln!("{}: {error}; remove it, or packages will start no services", self.policy.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denies(policy: &Path) -> bool {
        Command::new(policy).status().unwrap().code() == Some(101)
    }

    #[test]
    fn services_are_denied_until_the_installation_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        let no_services = NoServices::declare(&policy).unwrap();
        assert!(denies(&policy));
        drop(no_services);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_administrators_policy_comes_back_also_after_a_run_that_was_killed() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        fs::write(&policy, "the administrator's").unwrap();
        std::mem::forget(NoServices::declare(&policy).unwrap());
        let second = NoServices::declare(&policy).unwrap();
        assert!(denies(&policy));
        drop(second);
        assert_eq!(fs::read_to_string(&policy).unwrap(), "the administrator's");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
