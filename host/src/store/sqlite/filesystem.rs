//! Which file systems can hold the store.

use std::path::Path;

use nix::sys::statfs::statfs;

/// File systems on which several machines, or a machine and its guest, see the same files without agreeing on locks or on
/// mapped memory, by the numbers of statfs(2). FUSE is among them because most of what is mounted by it is remote
/// (sshfs, GlusterFS, S3), a shared folder of a virtual machine, or does not share mapped memory.
const UNFIT: [(u32, &str); 16] = [
    (0x0000_6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0000_517B, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
];

/// The name of the file system that a directory is on, where the store cannot be on it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers have 32 bits, in types that differ between C libraries"
)]
pub(super) fn unfit(directory: &Path) -> nix::Result<Option<&'static str>> {
    Ok(name(statfs(directory)?.filesystem_type().0 as u32))
}

fn name(kind: u32) -> Option<&'static str> {
    UNFIT.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_number_and_local_ones_are_not() {
        assert_eq!(name(0x6969), Some("NFS"));
        assert_eq!(name(0xFF53_4D42), Some("CIFS"));
        for local in [0xEF53, 0x0102_1994, 0x5846_5342, 0x9123_683E, 0x794C_7630] {
            assert_eq!(name(local), None, "{local:x}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(unfit(Path::new("/proc/no/such/directory")).is_err());
    }
}
