//! What is mounted, as `/proc/self/mountinfo` has it (proc_pid_mountinfo(5)). A user may mount something under any name, so
//! the lines are bytes, and one that cannot be read hides no other.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What of the mounted storage is to be seen.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The type of the file system.
    pub kind: OsString,
}

/// All of them, in the order in which they were mounted.
pub(super) fn all() -> io::Result<Vec<Mount>> {
    Ok(read(&std::fs::read("/proc/self/mountinfo")?))
}

fn read(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 ROOT POINT OPTIONS [TAG …] - TYPE SOURCE OPTIONS`.
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let kind = OsStr::from_bytes(fields.next()?).to_owned();
    Some(Mount { root: plain(root), point: plain(point), kind })
}

/// Without the escapes: a space is written `\040`.
fn plain(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let escaped = others.first_chunk::<3>().filter(|_| *first == b'\\');
        let byte = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { others.get(3..).unwrap_or_default() } else { others };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_are_read_and_broken_lines_passed_over() {
        let table = b"22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n\
            23 1 0:21 / /home/a\xffb rw - fuse x rw\nrubbish\n\
            24 1 8:1 /sub /run/own/a\\040b\\134c rw shared:1 master:2 - ext4 /dev/sda1 rw\n";
        let mounts = read(table);
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.as_os_str().as_bytes()).collect();
        assert_eq!(points, [&b"/proc"[..], b"/home/a\xffb", b"/run/own/a b\\c"]);
        assert_eq!((mounts[2].root.as_path(), mounts[2].kind.as_os_str()), ("/sub".as_ref(), "ext4".as_ref()));
    }

    #[test]
    fn this_machines_own_are_found() {
        assert!(all().expect("procfs").iter().any(|mount| mount.kind == "proc"));
    }
}
