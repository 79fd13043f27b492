//! The token of the data directory: programs of the user that the daemon runs as sign in with it.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::Entropy;

/// The token, by its digest.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be made or read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others could have read or written it.
    #[error("{}: mode {mode:o} lets others at the token; delete the file to have a new one made", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no token.
    #[error("{}: not a token of at least 32 characters; delete the file to have a new one made", path.display())]
    Short {
        /// Which.
        path: PathBuf,
    },
}

const SHORTEST: usize = 32;
const LONGEST: u64 = 4096;

impl Token {
    /// The token in `<data-dir>/token`, which is made where there is none.
    pub fn load_or_create(data_dir: &Path, entropy: &dyn Entropy) -> Result<Self, TokenError> {
        let path = data_dir.join("token");
        let failed = |error| TokenError::File { path: path.clone(), error };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let text = URL_SAFE_NO_PAD.encode(entropy.bytes::<32>());
                writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
                Ok(Self::from_text(&text))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read(&path),
            Err(error) => Err(failed(error)),
        }
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |error| TokenError::File { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
        let text = text.trim();
        if text.len() < SHORTEST {
            return Err(TokenError::Short { path: path.to_owned() });
        }
        Ok(Self::from_text(text))
    }

    /// The token from its text.
    pub fn from_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether the request's one `Authorization: Bearer` is the token. Digests are compared, so that the time it takes
    /// tells nothing of the token.
    pub(super) fn is_borne_by(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, text)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
        let digest: [u8; 32] = Sha256::digest(text.trim().as_bytes()).into();
        scheme.eq_ignore_ascii_case("bearer") && bool::from(digest.ct_eq(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
