//! `plugin new NAME`: a crate for a balancer in Rust. Everything in it comes from this program, the SDK too, so that
//! nothing need be fetched to make it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{balancer::builtin, cli::output};

mod files;

use files::files;

/// The longest name that a balancer can be selected by.
const LONGEST: usize = 64;

/// Crates that the new one could not tell from itself.
const TAKEN: [&str; 7] = ["alloc", "core", "evenkeel-sdk", "proc-macro", "std", "test", "wit-bindgen"];

/// Makes the crate, and prints what to do with it.
pub(super) fn make(name: &str, directory: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    check(name)?;
    let directory = directory.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let files = files(name);
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    fs::create_dir(&directory).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} exists already: name another directory (plugin new {name} DIR), or remove it",
            directory.display()
        ),
        _ => anyhow::Error::new(error).context(directory.display().to_string()),
    })?;
    if let Err(error) = write(&directory, &files) {
        // Ours, since it was not there before.
        let _ = fs::remove_dir_all(&directory);
        return Err(error);
    }
    if as_json {
        let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
        output::line(json!({ "name": name, "directory": directory, "files": names }));
    } else {
        output::line(format_args!(
            "Made {}: a policy in src/lib.rs, with its tests and cases, and the SDK. Its README.md says how to build it.",
            directory.display()
        ));
    }
    Ok(())
}

/// Whether a crate can have that name, and a file in the plugins directory.
fn check(name: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.len() <= LONGEST;
    ensure!(
        is_name,
        "{name:?}: a balancer's name has small letters, digits and hyphens, at most {LONGEST}, begins with a letter, and does \
         not end with a hyphen"
    );
    ensure!(
        !builtin::NAMES.contains(&name),
        "{name}: a balancer of this name ships with Evenkeel, and this one would take its place; choose another name"
    );
    ensure!(!TAKEN.contains(&name), "{name}: this is the name of a crate that every balancer needs; choose another");
    Ok(())
}

fn write(directory: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    for (name, text) in files {
        let path = directory.join(name);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            // Whatever has come to be there meanwhile is somebody else's.
            fs::File::create_new(&path)?.write_all(text.as_bytes())
        };
        write().with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_crate_or_file_can_have_is_refused_by_its_rule() {
        for name in ["gpu-first", "a", "x2", &"a".repeat(LONGEST)] {
            check(name).unwrap();
        }
        for name in ["", "Gpu", "gpu_first", "2x", "-x", "x-", "../x", "x y", "x\ny", "ü", &"a".repeat(LONGEST + 1)] {
            let error = check(name).unwrap_err().to_string();
            assert!(error.contains("small letters, digits and hyphens") && error.lines().count() == 1, "{error}");
        }
        for name in builtin::NAMES.into_iter().chain(TAKEN) {
            let error = check(name).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains("choose another"), "{error}");
        }
    }

    #[test]
    fn what_exists_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("mine");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("Cargo.toml"), "theirs").unwrap();
        let error = make("mine", Some(&directory), false).unwrap_err().to_string();
        assert!(error.contains("mine exists already") && error.lines().count() == 1, "{error}");
        assert_eq!(fs::read_to_string(directory.join("Cargo.toml")).unwrap(), "theirs");
        assert_eq!(directory.read_dir().unwrap().count(), 1);
        // Nor is what a link names.
        std::os::unix::fs::symlink(root.path().join("nowhere"), root.path().join("link")).unwrap();
        make("mine", Some(&root.path().join("link")), false).unwrap_err();
    }
}
