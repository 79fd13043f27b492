//! The store of a cluster, taken away from its daemons for a while, or changed behind their backs.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// While it lives, no daemon can write to the store.
#[derive(Debug)]
pub struct Held(Child);

/// Begins a write on the store in a directory, and does not end it.
pub fn hold(directory: &Path) -> Result<Held> {
    const PROGRAM: &str = "import sqlite3, sys\n\
        store = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n\
        store.execute('BEGIN IMMEDIATE')\n\
        print('held', flush=True)\n\
        sys.stdin.read()\n";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PROGRAM])
        .arg(directory.join("evenkeel.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("/usr/bin/python3")?;
    let output = child.stdout.take().context("no output")?;
    let held = Held(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "held\n", "the store cannot be held: {line:?}");
    Ok(held)
}

/// Executes a statement on the store in a directory, as another program than ours might.
pub fn execute(directory: &Path, statement: &str) -> Result<()> {
    const PROGRAM: &str = "import sqlite3, sys\n\
        with sqlite3.connect(sys.argv[1], timeout=30) as store:\n\
        \x20   store.execute(sys.argv[2])\n";
    let output = Command::new("/usr/bin/python3")
        .args(["-c", PROGRAM])
        .arg(directory.join("evenkeel.db"))
        .arg(statement)
        .output()
        .context("/usr/bin/python3")?;
    ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
