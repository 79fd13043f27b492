//! Which daemon this is among those that may have one node id: a data directory can be copied, its place cannot.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use sha2::{Digest as _, Sha256};

/// Differs between machines, between boots of one, and between data directories of one; is the same for every daemon that
/// has hold of one data directory in one boot. Empty where the system does not tell.
pub fn place(data_dir: &Path) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let Ok(directory) = fs::metadata(data_dir) else { return String::new() };
    if boot.trim().is_empty() {
        return String::new();
    }
    let digest = Sha256::new()
        .chain_update(boot.trim())
        .chain_update(directory.dev().to_be_bytes())
        .chain_update(directory.ino().to_be_bytes())
        .finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_place_and_its_copy_has_another() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        let before = place(&one);
        assert_eq!(before.len(), 32);
        fs::write(one.join("node-id"), "1").unwrap();
        assert_eq!(place(&one), before);
        assert_ne!(place(&two), before);
        assert_eq!(place(&directory.path().join("nowhere")), "");
    }
}
