//! The cluster key, `secure-cookie-key`, and the keys derived from it.

use std::path::Path;

use hkdf::Hkdf;
use sha2::Sha256;

use super::data_dir::{DataDirError, secret};
use crate::domain::Entropy;

/// The secret that all nodes of a cluster share. Nothing is signed with it; each purpose has a key derived from it.
#[derive(Clone)]
pub struct ClusterKey(Vec<u8>);

impl ClusterKey {
    /// The key in a file; made, with mode 0600, where the file is missing.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, DataDirError> {
        secret(path, entropy).map(|text| Self(text.into_bytes()))
    }

    /// The key from its bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose as its info.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        // 32 bytes are always a valid length: the limit is 255 times the hash's.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(purpose.as_bytes(), &mut key);
        key
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}
