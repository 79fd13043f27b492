//! The token of the data directory: programs of the user that the daemon runs as sign in with it.

use std::fmt;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token, by its digest.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
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
