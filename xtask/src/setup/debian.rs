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

/// Whether a package is installed, in this version or a later one.
pub(super) fn installed(package: &str, at_least: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Version}", package])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.strip_prefix("installed ").is_some_and(|version| is_at_least(version, at_least))
    })
}

fn is_at_least(version: &str, least: &str) -> bool {
    Command::new("dpkg")
        .args(["--compare-versions", version, "ge", least])
        .status()
        .is_ok_and(|status| status.success())
}

/// The line that installs packages, for a person to run.
pub(super) fn line(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs packages, or upgrades them.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let _no_services = NoServices::declare(Path::new(POLICY))?;
    // A list that lags names versions that are too old, or no longer offered. Where no list can be had now, the present
    // one may still do.
    let updated = behind_progress("Updating the lists of packages", apt(&["update"]));
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    install.args(packages);
    behind_progress(&format!("Installing {}", packages.join(" ")), install).or_else(|error| updated.and(Err(error)))
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
    fn versions_are_compared_as_the_distribution_orders_them() {
        assert!(is_at_least("1.96.0+dfsg1-1~deb12u2", "1.95"));
        assert!(!is_at_least("1.85.0+dfsg3-1~deb12u3", "1.95"));
        assert!(!is_at_least("1.9.0", "1.10"));
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
