//! Where the programs under test lie: beside the test executable, in cargo's target directory.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The directory that cargo puts programs in.
pub fn directory() -> Result<PathBuf> {
    let executable = env::current_exe().context("cannot tell where this program lies")?;
    let directory = executable.parent().context("this program lies in no directory")?;
    let directory = if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    Ok(directory.to_owned())
}

/// A directory of programs as everybody can reach it: itself, or a copy of its programs for tests below `root`.
pub fn reachable(directory: &Path, root: &Path) -> Result<PathBuf> {
    let passable = |above: &Path| above.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    // What is installed for others to use, they can reach.
    if directory.ancestors().all(passable) || !directory.join("evenkeel-echo").is_file() {
        return Ok(directory.to_owned());
    }
    let copies = root.join("programs");
    fs::create_dir_all(&copies)?;
    let program = directory.join("evenkeel-echo");
    fs::copy(&program, copies.join("evenkeel-echo")).with_context(|| program.display().to_string())?;
    Ok(copies)
}

/// The program of that name.
pub fn find(name: &str) -> Result<PathBuf> {
    find_in(&directory()?, name)
}

fn find_in(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    if !path.is_file() {
        bail!(
            "{} is not built: run `cargo build --workspace --bins`, or `cargo xtask test`, which does",
            path.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_built_is_named_with_what_to_run() {
        let error = find_in(Path::new("/nowhere"), "evenkeel").unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/evenkeel is not built: run `cargo build"), "{error}");
    }
}
