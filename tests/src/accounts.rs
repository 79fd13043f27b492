//! Unix accounts and PAM services that exist while a test runs. They take root.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::wait;

/// Fails where accounts cannot be made: a test that cannot show what it is for must not pass for one that has.
pub fn require_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes Unix accounts and PAM services, which takes root");
}

/// What the full name of each account says.
const MARK: &str = "made by a test of Evenkeel";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has.
fn unique(tag: &str) -> String {
    format!("ek-{tag}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// An account with a home and a password. It goes with its home and its processes when this goes.
#[derive(Debug)]
pub struct UnixUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// Its user id, and that of its group.
    pub uid: u32,
    /// Its home.
    pub home: PathBuf,
}

impl UnixUser {
    /// Makes one whose name begins with `ek-<tag>-`.
    pub async fn create(tag: &str) -> Result<Self> {
        let name = unique(tag);
        let home = Path::new("/home").join(&name);
        Self::make(name, &home).await
    }

    /// Makes one of that very name, with its home there. One that a test has left is made anew; anybody else's stays, and
    /// the test fails.
    pub async fn create_named(name: &str, home: &Path) -> Result<Self> {
        require_root();
        if let Some(found) = nix::unistd::User::from_name(name)? {
            ensure!(found.gecos.to_bytes() == MARK.as_bytes(), "this machine has an account {name} of its own");
            drop(Self { name: name.to_owned(), password: String::new(), uid: found.uid.as_raw(), home: found.dir });
        }
        Self::make(name.to_owned(), home).await
    }

    async fn make(name: String, home: &Path) -> Result<Self> {
        require_root();
        let password = format!("{name} pass&word=%+ä");
        // The files of accounts are locked while another test makes or removes one.
        wait::until(&format!("account {name} to be made"), wait::LONG, async || {
            let mut command = Command::new("useradd");
            command.args(["--create-home", "--user-group", "--shell", "/bin/bash", "--comment", MARK, "--home-dir"]);
            run(command.arg(home).arg(&name)).map(drop)
        })
        .await?;
        let account = nix::unistd::User::from_name(&name)?.with_context(|| format!("{name} is not there"))?;
        let user = Self { name, password, uid: account.uid.as_raw(), home: account.dir };
        let line = format!("{}:{}\n", user.name, user.password);
        wait::until("the password to be set", wait::LONG, async || feed(&mut Command::new("chpasswd"), &line)).await?;
        Ok(user)
    }

    /// Changes the account by `usermod`.
    pub async fn change(&self, arguments: &[&str]) -> Result<()> {
        wait::until("the account to be changed", wait::LONG, async || {
            run(Command::new("usermod").args(arguments).arg(&self.name)).map(drop)
        })
        .await
    }

    /// Has it change its password before anything else.
    pub async fn expire_password(&self) -> Result<()> {
        wait::until("the password to be expired", wait::LONG, async || {
            run(Command::new("passwd").args(["--expire", &self.name])).map(drop)
        })
        .await
    }
}

impl Drop for UnixUser {
    fn drop(&mut self) {
        for _ in 0..200 {
            // What it left running keeps the account.
            let _ = Command::new("pkill").args(["-KILL", "-U", &self.uid.to_string()]).status();
            let removed = run(Command::new("userdel").args(["--remove", &self.name]));
            if removed.is_ok() || !nix::unistd::User::from_name(&self.name).is_ok_and(|user| user.is_some()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        eprintln!("the account {} could not be removed", self.name);
    }
}

/// A service in `/etc/pam.d`. It goes when this goes.
#[derive(Debug)]
pub struct PamService {
    /// Its name.
    pub name: String,
}

impl PamService {
    /// Writes one.
    pub fn create(text: &str) -> Result<Self> {
        require_root();
        let service = Self { name: unique("service") };
        fs::write(service.path(), text).with_context(|| service.path().display().to_string())?;
        Ok(service)
    }

    /// One that asks for the account's own password, and nothing else.
    pub fn unix() -> Result<Self> {
        Self::create("auth required pam_unix.so\naccount required pam_unix.so\n")
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/etc/pam.d").join(&self.name)
    }
}

impl Drop for PamService {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.path()) {
            eprintln!("{}: {error}", self.path().display());
        }
    }
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

fn feed(command: &mut Command, text: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot be run")?;
    child.stdin.take().context("no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
