//! A connection to the one server that shows a certificate which is known beforehand.

use std::{io, net::Ipv4Addr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, IpAddr, ServerName, UnixTime},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{BETWEEN_NODES, fingerprint, provider};

/// Shakes hands with whoever shows one of the certificates, between which there are blanks, and has its key.
pub(in crate::wire) async fn connect<S>(stream: S, certificates: &str) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = provider();
    let known = Arc::new(Known { certificates: certificates.to_owned(), provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(BETWEEN_NODES)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(known)
        .with_no_client_auth();
    // A ticket would be good for this very configuration, which is made anew for each connection.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Names are not looked at, and with an address none is sent.
    let nobody = ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED)));
    TlsConnector::from(Arc::new(config)).connect(nobody, stream).await
}

/// Accepts certificates that are known.
#[derive(Debug)]
struct Known {
    certificates: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = fingerprint(shown);
        if self.certificates.split(' ').any(|known| known == shown) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!("it shows the certificate {shown}, and not {}", self.certificates)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
