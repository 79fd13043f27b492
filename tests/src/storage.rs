//! Storage that misbehaves, as root can mount it.

use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::users::need_root;

/// A mounted file system, until this is dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    /// The end at which a file system would be served.
    server: Option<File>,
}

impl Mount {
    /// Storage that has gone away: whatever is asked of it, there is no answer.
    pub fn hanging(path: &Path) -> Result<Self> {
        need_root()?;
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
        fcntl(&server, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        let mounted = mount(path, &["-i", "-t", "fuse", "-o", &options, "evenkeel-test"]);
        fcntl(&server, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        mounted?;
        Ok(Self { path: path.to_owned(), server: Some(server) })
    }

    /// A disk of so many bytes in memory.
    pub fn small(path: &Path, bytes: u64) -> Result<Self> {
        need_root()?;
        mount(path, &["-t", "tmpfs", "-o", &format!("size={bytes},mode=711"), "evenkeel-test"])?;
        Ok(Self { path: path.to_owned(), server: None })
    }

    /// Fills it.
    pub fn fill(&self) -> Result<()> {
        let path = self.path.join("filling");
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        let filled = std::io::copy(&mut std::io::repeat(0), &mut file);
        ensure!(filled.is_err(), "{} is never full", path.display());
        Ok(())
    }
}

fn mount(path: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("mount").args(arguments).arg(path).output().context("mount")?;
    ensure!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever waits for an answer is told that there will be none.
        self.server = None;
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
