//! Certificates from files, and who takes which.

use std::{path::PathBuf, sync::Arc};

use evenkeel_test_postgres::certificates::{Authority, Certified};
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{Identity, OwnTls, connect, fingerprint, provider};
use crate::config::{TlsOptions, TlsVersion};

/// Files of certificates and keys.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn options(&self, Certified { certificate, key }: &Certified) -> TlsOptions {
        TlsOptions {
            certificate: self.with("certificate.pem", certificate),
            key: self.with("key.pem", key),
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            hsts: None,
            redirect_http: true,
        }
    }

    fn identity(&self, certified: &Certified) -> Identity {
        Identity::load(&self.options(certified)).unwrap()
    }

    /// Why there is no TLS, without the directory.
    fn refused(&self, options: &TlsOptions) -> String {
        let error = Identity::load(options).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn certified() -> Certified {
    Authority::new("an authority").server(&["node1"])
}

/// What comes of a client that knows those certificates and a server that shows its own: what the client is told, once the
/// server has got its message.
async fn meet(server: &OwnTls, known: &str) -> std::io::Result<String> {
    let (near, far) = duplex(64 * 1024);
    let answering = async {
        let mut stream = server.accept(far).await?;
        let mut message = [0; 5];
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
        stream.shutdown().await
    };
    let asking = async {
        let mut stream = connect(near, known).await?;
        stream.write_all(b"hello").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let (answered, asked) = tokio::join!(answering, asking);
    assert_eq!(answered.is_ok(), asked.is_ok(), "nothing was sent to whoever was not known");
    asked
}

#[tokio::test]
async fn a_certificate_that_is_known_will_do_and_no_other_whoever_signed_it() {
    let (files, authority) = (Files::new(), Authority::new("an authority"));
    let identity = files.identity(&authority.server(&["node1"]));
    let other = files.identity(&authority.server(&["node1"])).fingerprint;
    let known = identity.fingerprint.clone();
    let server = OwnTls::new(identity);
    assert_eq!(meet(&server, &known).await.unwrap(), "hello");
    assert_eq!(meet(&server, &format!("{other} {known}")).await.unwrap(), "hello", "one of two");
    let error = meet(&server, &other).await.unwrap_err().to_string();
    assert!(error.contains(&known) && error.contains(&other), "{error}");
    assert!(meet(&server, "").await.is_err());
}

#[tokio::test]
async fn a_server_that_has_the_certificate_and_not_its_key_is_refused() {
    // A certificate is public: whoever has connected once has it.
    let (shown, own_key) = (certified().certificate, certified().key);
    let shown = CertificateDer::from_pem_slice(shown.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own_key.as_bytes()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let fingerprint = fingerprint(&shown);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![shown], key))));
    let thief =
        OwnTls::new(Identity { fingerprint: fingerprint.clone(), expires: Timestamp::MAX, server: Arc::new(config) });
    let error = meet(&thief, &fingerprint).await.unwrap_err().to_string();
    assert!(error.contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn one_that_has_expired_is_known_all_the_same() {
    let identity = Files::new().identity(&Authority::new("an authority").expired_server(&["node1"]));
    assert_eq!(identity.expires.to_string(), "2020-01-01T00:00:00Z");
    let known = identity.fingerprint.clone();
    assert_eq!(meet(&OwnTls::new(identity), &known).await.unwrap(), "hello");
}

#[tokio::test]
async fn either_version_of_the_protocol_is_enough() {
    let (files, certified) = (Files::new(), certified());
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let options = TlsOptions { versions: vec![version], ..files.options(&certified) };
        let identity = Identity::load(&options).unwrap();
        let known = identity.fingerprint.clone();
        assert_eq!(meet(&OwnTls::new(identity), &known).await.unwrap(), "hello", "{version:?}");
    }
}

#[tokio::test]
async fn another_certificate_is_shown_once_its_time_has_come() {
    let files = Files::new();
    let (first, second, third) =
        (files.identity(&certified()), files.identity(&certified()), files.identity(&certified()));
    let names = [&first, &second, &third].map(|identity| identity.fingerprint.clone());
    let server = OwnTls::new(first.clone());
    assert!(!server.prepare(first.clone()), "it is the one that is shown");
    assert_eq!(server.next(), None);
    assert!(server.prepare(second.clone()));
    assert_eq!((server.fingerprint(), server.next()), (names[0].clone(), Some(names[1].clone())));
    assert!(server.prepare(third), "before the other's time");
    server.turn_to(&names[1]);
    assert_eq!(server.fingerprint(), names[0], "nobody waits for that one any more");
    server.turn_to(&names[2]);
    assert_eq!((server.fingerprint(), server.next()), (names[2].clone(), None));
    assert_eq!(meet(&server, &names[2]).await.unwrap(), "hello");
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_their_names() {
    let files = Files::new();
    let (good, other) = (certified(), certified());
    let options = files.options(&good);
    let certificate = |text: &str| TlsOptions { certificate: files.with("other.pem", text), ..options.clone() };
    let key = |text: &str| TlsOptions { key: files.with("other.pem", text), ..options.clone() };
    let missing = TlsOptions { key: files.0.path().join("none.pem"), ..options.clone() };
    assert!(files.refused(&missing).starts_with("none.pem: No such file"), "{}", files.refused(&missing));
    let no_certificate = "other.pem: there is not a certificate in it, as text between BEGIN and END (PEM)";
    for text in ["", "certificate", &good.key] {
        assert_eq!(files.refused(&certificate(text)), no_certificate);
    }
    let no_key =
        "other.pem: there is not a private key without a passphrase in it, as text between BEGIN and END (PEM)";
    assert_eq!(files.refused(&key(&good.certificate)), no_key);
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(files.refused(&key(&encrypted)), no_key);
    let certificate_file = "it is not the key of the first certificate in certificate.pem";
    assert_eq!(files.refused(&key(&other.key)), format!("other.pem: {certificate_file}"));
    let broken = good.certificate.replacen("MI", "AA", 1);
    let told = files.refused(&certificate(&broken));
    assert!(told.starts_with("other.pem: its first certificate cannot be used: "), "{told}");
    let large = "x".repeat(2 << 20);
    let told = files.refused(&certificate(&large));
    assert!(told.contains("more in it than a chain of certificates"), "{told}");
}
