//! The MAC that peers prove themselves with: HMAC-SHA256 over fields, none of which can pass for part of another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::ClusterKey;

/// A key for one purpose.
#[derive(Clone)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// The key that `purpose` has in this cluster.
    pub fn derive(key: &ClusterKey, purpose: &str) -> Self {
        Self(key.derive(purpose))
    }

    /// The MAC of some fields.
    pub fn sign(&self, fields: &[&[u8]]) -> [u8; 32] {
        self.over(fields).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC of these fields; takes as long either way.
    pub fn verify(&self, fields: &[&[u8]], mac: &[u8]) -> bool {
        self.over(fields).verify_slice(mac).is_ok()
    }

    fn over(&self, fields: &[&[u8]]) -> Hmac<Sha256> {
        // RFC 2104 pads a short key with zeros to the hash's block; so padded, any key has a valid length.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // Each field goes in behind its length, so that no two lists of fields are the same bytes.
        for field in fields {
            mac.update(&(field.len() as u64).to_le_bytes());
            mac.update(field);
        }
        mac
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8], purpose: &str) -> MacKey {
        MacKey::derive(&ClusterKey::from_bytes(bytes.to_vec()), purpose)
    }

    #[test]
    fn a_mac_holds_for_its_fields_its_key_and_its_purpose_only() {
        let signer = key(b"secret", "peer-call");
        let mac = signer.sign(&[b"GET", b"/a"]);
        assert!(signer.verify(&[b"GET", b"/a"], &mac));
        assert!(!signer.verify(&[b"GET/", b"a"], &mac), "fields do not run into each other");
        assert!(!signer.verify(&[b"GET", b"/a", b""], &mac), "nor does an empty one vanish");
        assert!(!signer.verify(&[b"GET", b"/a"], &mac[..31]), "a part of a MAC is none");
        assert!(!signer.verify(&[b"GET", b"/a"], b""));
        assert!(!key(b"secreu", "peer-call").verify(&[b"GET", b"/a"], &mac));
        assert!(!key(b"secret", "peer-hop").verify(&[b"GET", b"/a"], &mac));
    }

    #[test]
    fn it_is_the_hmac_of_the_rfc() {
        // RFC 4231, test case 1 has a key of 20 bytes; padded to 32 it is the same key.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = MacKey(key).over(&[]).chain_update(b"Hi There").finalize().into_bytes();
        assert_eq!(mac[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", key(b"secret", "peer-call")), "MacKey(…)");
    }
}
