//! Where the programs under test lie: beside the test executable, in cargo's target directory.

use std::{
    env,
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
