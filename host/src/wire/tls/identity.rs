//! A certificate and its key, read from their files.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{fingerprint, provider};
use crate::config::{TlsOptions, TlsVersion};

/// More than any chain of certificates has.
const LARGEST: u64 = 1 << 20;

/// What a node shows, and proves that it is its own.
#[derive(Clone)]
pub struct Identity {
    /// What the others know its certificate by.
    pub fingerprint: String,
    /// Until when browsers take it.
    pub expires: Timestamp,
    pub(super) server: Arc<ServerConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, or may not be read.
    #[error("{}: {problem}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
    /// What is in it is nothing of the kind.
    #[error("{}: {problem}", .file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Identity {
    /// Reads and tries certificate and key. It blocks.
    ///
    /// # Errors
    /// Whatever would keep the other side from taking them for what they should be, but for names, dates and who signed:
    /// these are for browsers to judge.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let TlsOptions { certificate: certificate_file, key: key_file, versions, .. } = options;
        let wrong = |file: &Path, problem: String| TlsError::Content { file: file.to_owned(), problem };
        let chain = CertificateDer::pem_slice_iter(&read(certificate_file)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(certificate_file, not_pem(&error, "a certificate")))?;
        let Some(own) = chain.first() else {
            return Err(wrong(certificate_file, not_pem(&pem::Error::NoItemsFound, "a certificate")));
        };
        ParsedCertificate::try_from(own)
            .map_err(|error| wrong(certificate_file, format!("its first certificate cannot be used: {error}")))?;
        let expires = expiry(own).ok_or_else(|| {
            wrong(certificate_file, "until when its first certificate holds cannot be read".to_owned())
        })?;
        let fingerprint = fingerprint(own);
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
            .map_err(|error| wrong(key_file, not_pem(&error, "a private key without a passphrase")))?;
        if key_file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0) {
            tracing::warn!("{}: everybody on this machine can read the key: chmod o= it", key_file.display());
        }
        let provider = provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| wrong(key_file, format!("the key cannot be used: {error}")))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| {
            let certificate = certificate_file.display();
            wrong(key_file, format!("it is not the key of the first certificate in {certificate}"))
        })?;
        let versions: Vec<_> = versions.iter().map(|version| version.supported()).collect();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| wrong(certificate_file, error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { fingerprint, expires, server: Arc::new(server) })
    }
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

impl TlsVersion {
    fn supported(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::V1_2 => &rustls::version::TLS12,
            Self::V1_3 => &rustls::version::TLS13,
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |problem| TlsError::File { file: file.to_owned(), problem };
    let length = file.metadata().map_err(unreadable)?.len();
    if length > LARGEST {
        let problem = format!("{length} bytes: there is more in it than a chain of certificates");
        return Err(TlsError::Content { file: file.to_owned(), problem });
    }
    std::fs::read(file).map_err(unreadable)
}

fn not_pem(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("there is not {what} in it, as text between BEGIN and END (PEM)"),
        other => format!("it should hold {what} (PEM): {other:?}"),
    }
}
