//! Programs that come, change and misbehave.

use std::{ffi::OsStr, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;

use super::*;

fn nobody() -> Option<Nobody> {
    Some(Nobody { uid: 65_534, gid: 65_534 })
}

/// A directory that everybody can read, on the search path of one kind `mine`.
fn ground() -> (TempDir, Offer) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kinds = directory.path().join("kinds");
    std::fs::create_dir(&kinds).unwrap();
    let kind = r#"
        name = "mine"
        title = "Mine"
        program = "mine"
        arguments = ["{socket}"]
        listen = "unix"
        base-path = "kept"
        suspend = "loses"
        ready = { path = "/" }
        version = { arguments = ["--version"] }
    "#;
    std::fs::write(kinds.join("mine.toml"), kind).unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let kinds = Kinds::load(Some(&kinds), OsStr::new(&path)).unwrap();
    (directory, Offer::new(Arc::new(kinds), nobody()))
}

/// Puts a program in place, in one step.
fn program(directory: &TempDir, script: &str) {
    let aside = directory.path().join("aside");
    std::fs::write(&aside, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(aside, directory.path().join("mine")).unwrap();
}

fn mine(offer: &Offer) -> Option<Option<String>> {
    offer.watch().borrow().get("mine").cloned()
}

#[tokio::test]
async fn a_program_that_is_installed_later_is_offered_with_its_version_and_one_that_goes_is_not() {
    let (directory, mut offer) = ground();
    assert_eq!(mine(&offer), None);
    assert!(offer.watch().borrow().contains_key("job"), "a job needs no program");
    program(&directory, "echo; echo \" mine 1.2 $1 $(id -u)\"; echo more");
    offer.refresh().await;
    let uid = if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::geteuid().as_raw() };
    assert_eq!(mine(&offer), Some(Some(format!("mine 1.2 --version {uid}"))));
    program(&directory, "echo 1.3");
    offer.refresh().await;
    assert_eq!(mine(&offer), Some(Some("1.3".to_owned())));
    std::fs::remove_file(directory.path().join("mine")).unwrap();
    offer.refresh().await;
    assert_eq!(mine(&offer), None);
}

#[tokio::test]
async fn a_program_is_asked_once_until_its_file_changes() {
    let (directory, mut offer) = ground();
    let asked = directory.path().join("asked");
    std::fs::write(&asked, "").unwrap();
    std::fs::set_permissions(&asked, std::fs::Permissions::from_mode(0o666)).unwrap();
    program(&directory, &format!("echo x >> '{}'; echo 1", asked.display()));
    for _ in 0..3 {
        offer.refresh().await;
    }
    assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n");
}

#[tokio::test]
async fn a_program_that_fails_or_says_too_much_is_offered_all_the_same() {
    let (directory, mut offer) = ground();
    for script in ["exit 3", "kill -9 $$", "exec yes", "yes > /dev/null & echo", "printf ''"] {
        program(&directory, script);
        offer.refresh().await;
        assert_eq!(mine(&offer), Some(None), "{script}");
    }
    program(&directory, "printf '%0200d\\n' 7");
    offer.refresh().await;
    let said = mine(&offer).flatten().unwrap_or_default();
    assert_eq!(said.len(), 80, "{said}");
}
