//! VS Code as a server: code-server from npm, with what its own installation would download from elsewhere made here.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::sys::stat::{Mode, umask};

use super::{
    place::{Place, is_marked, mark},
    runs,
};
use crate::command::behind_progress;

/// What is installed.
const PACKAGE: &str = "code-server@4.100.3";

/// The release of Node that it is for.
const NODE: &str = "v20.";

/// MB.
pub(super) const SIZE: u32 = 320;

/// Its users must be able to read it.
const PLACE: Place = Place { folder: "code-server", public: Some("/opt/evenkeel-dev/code-server") };

/// What has to be there to install it: Debian's name, and a program by which it is known.
const BUILD: [(&str, &str); 3] = [("ripgrep", "rg"), ("g++", "g++"), ("make", "make")];

/// The directory of the program.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(PLACE.directory()?.join("bin"))
}

/// The directory that lacks it, or none.
pub(super) fn missing() -> Result<Option<PathBuf>> {
    let directory = PLACE.directory()?;
    Ok((!is_complete(&directory)).then_some(directory))
}

/// Debian's packages that are missing for the installation.
pub(super) fn packages() -> impl Iterator<Item = &'static str> {
    BUILD.into_iter().filter(|(_, program)| !runs(program)).map(|(package, _)| package)
}

/// Why it cannot be installed here, if so.
pub(super) fn obstacle() -> Option<String> {
    if !runs("npm") {
        return Some("npm is not installed".to_owned());
    }
    let output = Command::new("node").arg("--version").stderr(Stdio::null()).output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    (!version.starts_with(NODE)).then(|| format!("it is for Node {NODE}x, and here is {version:?}"))
}

fn is_complete(directory: &Path) -> bool {
    is_marked(directory, PACKAGE) && program(directory).is_file()
}

fn program(directory: &Path) -> PathBuf {
    directory.join("bin/code-server")
}

/// Installs it, in place of what an interrupted installation has left.
pub(super) fn install(directory: &Path) -> Result<()> {
    let previous = umask(Mode::from_bits_truncate(0o022));
    let outcome = install_readable(directory);
    umask(previous);
    outcome
}

fn install_readable(directory: &Path) -> Result<()> {
    let context = || directory.display().to_string();
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(context)?;
    }
    fs::create_dir_all(directory.join("bin")).with_context(context)?;
    fs::write(directory.join("package.json"), "{\"private\": true}\n").with_context(context)?;
    // Its own installation fetches Node's headers and ripgrep from elsewhere; both are here.
    let server = directory.join("node_modules/code-server");
    let vscode = server.join("lib/vscode");
    behind_progress("Installing VS Code, the server", npm(directory, &["install", "--ignore-scripts", PACKAGE]))?;
    behind_progress("Building what it verifies passwords by", npm(directory, &["rebuild", "argon2"]))?;
    let packages = ["install", "--omit=dev", "--ignore-scripts"];
    behind_progress("Installing VS Code, the editor", npm(&vscode, &packages))?;
    let native = ["rebuild", "node-pty", "@vscode/spdlog", "native-watchdog"];
    behind_progress("Building its terminals and logs", npm(&vscode, &native))?;
    behind_progress("Installing its extensions", npm(&vscode.join("extensions"), &packages))?;

    let search = vscode.join("node_modules/@vscode/ripgrep/bin");
    fs::create_dir_all(&search).with_context(context)?;
    link(Path::new("/usr/bin/rg"), &search.join("rg"))?;
    link(Path::new("node_modules"), &vscode.join("node_modules.asar"))?;
    link(Path::new("code-linux.sh"), &vscode.join("bin/remote-cli/code-server"))?;
    link(Path::new("browser-linux.sh"), &vscode.join("bin/helpers/browser.sh"))?;

    let start = format!("#!/bin/sh\nexec node '{}' \"$@\"\n", server.join("out/node/entry.js").display());
    let program = program(directory);
    fs::write(&program, start).with_context(context)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).with_context(context)?;
    // Last, so that an installation that has it is whole.
    mark(directory, PACKAGE)
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() {
        fs::remove_file(at).with_context(|| at.display().to_string())?;
    }
    symlink(to, at).with_context(|| at.display().to_string())
}

fn npm(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).args(["--yes", "--no-audit", "--no-fund", "--no-update-notifier"]).current_dir(directory);
    if Path::new("/usr/include/node/node.h").exists() {
        command.env("npm_config_nodedir", "/usr");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_installation_is_not_complete() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        fs::write(program(directory.path()), "").unwrap();
        assert!(!is_complete(directory.path()));
        mark(directory.path(), PACKAGE).unwrap();
        assert!(is_complete(directory.path()));
    }

    #[test]
    fn a_link_takes_the_place_of_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("rg");
        fs::write(&at, "").unwrap();
        link(Path::new("/usr/bin/rg"), &at).unwrap();
        link(Path::new("/usr/bin/rg"), &at).unwrap();
        assert_eq!(fs::read_link(&at).unwrap(), Path::new("/usr/bin/rg"));
    }
}
