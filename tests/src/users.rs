//! Unix users of the tests' own, where they run as root.
//!
//! A machine may run several tests at once, and several suites: each user is borrowed by one of them at a time, by a lock on
//! a file. Users are made when they are first needed and kept, since that is the slow part; what they leave is not.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User as Account},
};
use procfs::process::all_processes;

use crate::{binaries, wait};

/// Where it is noted who has which user.
const LOCKS: &str = "/run/evenkeel-test-users";
/// The most users that are borrowed at once.
const MOST: usize = 64;

/// A user that is this test's alone.
#[derive(Debug)]
pub struct User {
    /// The account's name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its home, empty at first.
    pub home: PathBuf,
    _lock: Flock<File>,
}

/// Whether users can be made and become: a test that needs them fails with this where they cannot.
pub fn need_root() -> Result<()> {
    ensure!(
        Uid::effective().is_root(),
        "this test makes Unix users and becomes them: run it as root, in a container say"
    );
    Ok(())
}

impl User {
    /// Borrows a user with an empty home and without processes.
    pub fn borrow() -> Result<Self> {
        need_root()?;
        for number in 1..=MOST {
            let name = format!("ek-test-{number}");
            let Some(lock) = try_lock(&format!("{name}.lock"))? else { continue };
            let account = make(&name, &["--create-home", "--shell", "/bin/bash"])?;
            let user = Self { uid: account.uid.as_raw(), home: account.dir, name, _lock: lock };
            user.end_processes();
            user.clear_home()?;
            return Ok(user);
        }
        bail!("{MOST} users are borrowed already")
    }

    fn clear_home(&self) -> Result<()> {
        match fs::remove_dir_all(&self.home) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| self.home.display().to_string());
            }
            _ => {}
        }
        fs::create_dir(&self.home).with_context(|| self.home.display().to_string())?;
        chown(&self.home, Some(self.uid), Some(self.gid()?))?;
        Ok(())
    }

    fn gid(&self) -> Result<u32> {
        Ok(Account::from_name(&self.name)?.context("it has been made")?.gid.as_raw())
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<i32> {
        let all = all_processes().into_iter().flatten().flatten();
        let own = all.filter(|process| process.uid().is_ok_and(|uid| uid == self.uid));
        own.filter(|process| process.stat().is_ok_and(|stat| stat.state != 'Z')).map(|process| process.pid).collect()
    }

    /// Waits until none of its processes is left.
    pub async fn wait_without_processes(&self) -> Result<()> {
        wait::until(&format!("{} to have no processes", self.name), wait::LONG, async || {
            let left = self.processes();
            ensure!(left.is_empty(), "there are {left:?}");
            Ok(())
        })
        .await
    }

    fn end_processes(&self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Writes a file into its home, as its own.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.home.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        chown(&path, Some(self.uid), Some(self.gid()?))?;
        Ok(path)
    }

    /// A command that it runs, with nothing of this process's environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.name, "--regid", &self.name, "--init-groups", "--"]).arg(program.as_ref());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.home).current_dir("/");
        command
    }
}

impl Drop for User {
    /// The next one starts anew in any case; this is for the machine.
    fn drop(&mut self) {
        self.end_processes();
        let _ = self.clear_home();
    }
}

/// The path of a program for tests, where every user can execute it: a login shell need not have it on its path.
pub fn program(name: &str) -> Result<PathBuf> {
    let _lock = lock("programs.lock")?;
    Ok(binaries::reachable(&binaries::directory()?, Path::new(LOCKS))?.join(name))
}

/// An account that many tests look at and none changes: it is made with these options of `useradd` where it is missing.
pub fn fixed(name: &str, options: &[&str]) -> Result<Account> {
    need_root()?;
    make(&format!("ek-test-{name}"), options)
}

fn make(name: &str, options: &[&str]) -> Result<Account> {
    // One at a time: useradd does not wait for another.
    let _lock = lock("useradd.lock")?;
    if let Some(account) = Account::from_name(name)? {
        return Ok(account);
    }
    let output = Command::new("useradd").args(options).arg(name).output().context("useradd")?;
    ensure!(output.status.success(), "useradd {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Account::from_name(name)?.with_context(|| format!("useradd made no {name}"))
}

fn open(name: &str) -> Result<File> {
    fs::create_dir_all(LOCKS).context(LOCKS)?;
    let path = Path::new(LOCKS).join(name);
    OpenOptions::new().write(true).create(true).truncate(false).open(&path).with_context(|| path.display().to_string())
}

fn lock(name: &str) -> Result<Flock<File>> {
    Flock::lock(open(name)?, FlockArg::LockExclusive).map_err(|(_, error)| error).context(LOCKS)
}

fn try_lock(name: &str) -> Result<Option<Flock<File>>> {
    match Flock::lock(open(name)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).context(LOCKS),
    }
}
