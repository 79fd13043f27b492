//! TLS between browsers and nodes, and between nodes.
//!
//! A browser trusts a node's certificate by the authority that signed it. Nodes, and commands, trust it because it is the
//! one that the node itself has put into the registry, or into its data directory: so any certificate will do between them,
//! self-signed or expired, and no other, whoever signed it.

use std::sync::Arc;

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider, pki_types::CertificateDer};
use sha2::{Digest, Sha256};

mod connector;
mod identity;
mod own;

pub(super) use connector::connect;
pub use identity::{Identity, TlsError};
pub use own::{OwnTls, Secured};

/// What certificates go by: the SHA-256 of one, hexadecimal.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The versions between nodes, whatever browsers are offered: all nodes have the newest.
const BETWEEN_NODES: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[cfg(test)]
mod tests;
