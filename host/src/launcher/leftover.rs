//! Removing what a session leaves: its directory, in which its user may have made anything, mounts of other storage included.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use nix::mount::{MntFlags, umount2};

use super::mounts;

/// Removes a directory with all that is in it; what is mounted there is detached first and left as it is. One that is not
/// there is removed already.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    if !directory.try_exists()? {
        return Ok(());
    }
    detach(directory)?;
    // A user can make it so deep that what goes through it by recursion is out of stack, or out of files to open: that is a
    // child's risk, and this one's business.
    let removal = Command::new("rm")
        .args(["--recursive", "--force", "--one-file-system", "--"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    if removal.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&removal.stderr);
    Err(io::Error::other(format!("rm: {}: {}", removal.status, said.lines().next().unwrap_or_default())))
}

/// Detaches what is mounted below, the innermost first. Where something stays, nothing may be removed: it would be removed
/// from what is mounted.
fn detach(directory: &Path) -> io::Result<()> {
    // As the kernel names mount points.
    let directory = directory.canonicalize()?;
    let inside = mounts::all()?.into_iter().filter(|mount| mount.point.starts_with(&directory));
    let mut points: Vec<_> = inside.map(|mount| mount.point).collect();
    points.sort();
    for point in points.into_iter().rev() {
        umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|error| io::Error::new(io::Error::from(error).kind(), detail(&point, error)))?;
    }
    Ok(())
}

fn detail(point: &Path, error: nix::Error) -> String {
    format!("something is mounted at {} and cannot be detached: {error}", point.display())
}

#[cfg(test)]
mod tests {
    use nix::{
        mount::{MsFlags, mount},
        unistd::Uid,
    };

    use super::*;

    #[test]
    fn what_is_mounted_in_it_is_detached_and_kept() {
        if !Uid::effective().is_root() {
            eprintln!("NOT TESTED: only root mounts");
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let (home, own) = (root.path().join("home"), root.path().join("own"));
        let inner = own.join("deep/er and so on");
        for directory in [&home, &inner] {
            std::fs::create_dir_all(directory).expect("made");
        }
        std::fs::write(home.join("work"), "years").expect("written");
        let bind = |at: &Path| mount(Some(&home), at, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        // One over the other too.
        bind(&inner).expect("mounted");
        bind(&inner).expect("mounted");
        remove(&own).expect("removed");
        assert!(!own.exists());
        assert_eq!(std::fs::read_to_string(home.join("work")).expect("kept"), "years");
        remove(&own).expect("nothing is there any more");
    }

    #[test]
    fn no_depth_is_too_deep() {
        use nix::{
            fcntl::{OFlag, open, openat},
            sys::stat::{Mode, mkdirat},
        };
        let root = tempfile::tempdir().expect("a directory");
        let own = root.path().join("own");
        std::fs::create_dir(&own).expect("made");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let mut directory = open(&own, flags, Mode::empty()).expect("it is there");
        for _ in 0..20_000 {
            mkdirat(&directory, "d", Mode::S_IRWXU).expect("made");
            directory = openat(&directory, "d", flags, Mode::empty()).expect("it is there");
        }
        remove(&own).expect("removed");
        assert!(!own.exists());
    }
}
