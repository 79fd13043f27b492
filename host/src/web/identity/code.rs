//! One-time sign-in codes: each signs in once, soon after it was made.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::throttle::{Throttle, network};
use crate::domain::Entropy;

/// A code that signs in once.
pub struct SignInCode(String);

impl SignInCode {
    /// A code drawn at random: 160 bits.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(URL_SAFE_NO_PAD.encode(entropy.bytes::<20>()))
    }

    /// The link to be opened in a browser. `base_url` has no slash at its end.
    pub fn link(&self, base_url: &str) -> String {
        format!("{base_url}/sign-in?code={}", self.0)
    }

    fn digest(text: &str) -> [u8; 32] {
        Sha256::digest(text.as_bytes()).into()
    }
}

impl fmt::Debug for SignInCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInCode(…)")
    }
}

/// What a code was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// It signs in, this once.
    Accepted,
    /// It was used, is too old or never was.
    Refused,
    /// Its sender has sent too many wrong ones and must wait.
    Throttled,
}

/// The codes that have been made and not used.
pub(super) struct Codes {
    outstanding: Vec<([u8; 32], Timestamp)>,
    wrong: Throttle<Option<IpAddr>>,
}

impl Default for Codes {
    fn default() -> Self {
        Self { outstanding: Vec::new(), wrong: Throttle::new(10) }
    }
}

impl Codes {
    /// The most that wait at once; the oldest make room.
    const MOST: usize = 32;

    pub(super) fn add(&mut self, code: &SignInCode, expires: Timestamp) {
        if self.outstanding.len() >= Self::MOST {
            self.outstanding.remove(0);
        }
        self.outstanding.push((SignInCode::digest(&code.0), expires));
    }

    pub(super) fn redeem(&mut self, code: &str, client: Option<IpAddr>, now: Timestamp) -> Redemption {
        let client = network(client);
        if self.wrong.wait(&client, now).is_some() {
            return Redemption::Throttled;
        }
        self.outstanding.retain(|(_, expires)| now < *expires);
        let digest = SignInCode::digest(code);
        match self.outstanding.iter().position(|(known, _)| known.ct_eq(&digest).into()) {
            Some(position) => {
                self.outstanding.remove(position);
                Redemption::Accepted
            }
            None => {
                self.wrong.note(client, now);
                Redemption::Refused
            }
        }
    }
}
