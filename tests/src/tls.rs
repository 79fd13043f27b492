//! The one certificate authority of a test, and clients that trust it.

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use evenkeel_test_postgres::certificates::Authority;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

/// It has signed every certificate of the test's nodes.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("the authority of a test"))
}

/// How a client speaks TLS that trusts the authority, and goes by the names in certificates, as browsers do.
///
/// # Panics
/// Where the authority's own certificate cannot be read.
pub fn client() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_slice(authority().certificate().as_bytes()).expect("a certificate");
    roots.add(own).expect("an authority");
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Comes to TLS with the node at `host:port`, as a browser does.
pub async fn shake_hands(stream: TcpStream, authority: &str) -> Result<TlsStream<TcpStream>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let name = ServerName::try_from(host.to_owned()).with_context(|| host.to_owned())?;
    TlsConnector::from(Arc::new(client())).connect(name, stream).await.context("no TLS")
}

/// A server with a certificate of the authority's for this machine's usual names, which is none of the nodes'.
pub fn server() -> Result<TlsAcceptor> {
    let certified = authority().server(&["localhost", "127.0.0.1"]);
    let chain = vec![CertificateDer::from_pem_slice(certified.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The SHA-256 of a certificate, hexadecimal.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}
