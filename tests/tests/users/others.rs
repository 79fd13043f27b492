//! A daemon that is not root has sessions of its own user, and says so of all others.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use anyhow::{Context as _, Result};
use evenkeel_tests::{User, binaries};
use serde_json::json;

use crate::builder;

fn give(path: &Path, uid: u32) -> Result<()> {
    chown(path, Some(uid), Some(uid)).with_context(|| path.display().to_string())?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_is_not_root_serves_its_own_user_and_no_other() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let real = directory.path().join("evenkeel-itself");
    fs::copy(binaries::find("evenkeel")?, &real)?;
    let program = directory.path().join("evenkeel");
    let script = format!(
        "#!/bin/sh\nHOME={} exec setpriv --reuid {1} --regid {1} --init-groups -- {2} \"$@\"\n",
        ada.home.display(),
        ada.name,
        real.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let mut cluster = builder(1)?.program(program).prepare()?;
    give(cluster.root(), ada.uid)?;
    cluster.start_all().await?;

    let own = cluster.client(0)?;
    let session = own.launch_active("probe").await?;
    assert_eq!(session.user, ada.name);
    let process = procfs::process::Process::new(session.pid.context("it runs")?)?;
    assert_eq!(process.uid()?, ada.uid);
    let refused = own.post(&format!("/api/v1/sign-in-codes?user={}", bob.name), &json!({})).await?;
    let problem = format!(
        "this node runs sessions of {} only, whom its daemon runs as, not of {}: that takes a daemon of root's",
        ada.name, bob.name
    );
    assert_eq!((refused.status.as_u16(), refused.problem()?.detail), (403, Some(problem)));
    cluster.close().await
}
