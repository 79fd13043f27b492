//! The signed cookie: `1.<user>.<id>.<issued>.<expires>.<mac>`, bytes in base64url, times in seconds since the epoch.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// What a cookie proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The canonical name of the Unix user.
    pub user: String,
    /// Tells one sign-in from another; a prolonged one keeps it.
    pub id: [u8; 16],
    /// When its user signed in.
    pub issued: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// The key that cookies are signed with, and others that hold while it is being replaced.
pub(super) struct CookieKey {
    signing: [u8; 32],
    others: Vec<[u8; 32]>,
}

const VERSION: &str = "1";

impl CookieKey {
    pub(super) fn new(signing: [u8; 32]) -> Self {
        Self { signing, others: Vec::new() }
    }

    pub(super) fn beside(self, others: Vec<[u8; 32]>) -> Self {
        Self { others, ..self }
    }

    /// The cookie's value.
    pub(super) fn seal(&self, pass: &Pass) -> String {
        let signed = format!(
            "{VERSION}.{}.{}.{}.{}",
            URL_SAFE_NO_PAD.encode(&pass.user),
            URL_SAFE_NO_PAD.encode(pass.id),
            pass.issued.as_second(),
            pass.expires.as_second()
        );
        let mac = URL_SAFE_NO_PAD.encode(mac_of(&self.signing, &signed).finalize().into_bytes());
        format!("{signed}.{mac}")
    }

    /// What a cookie's value proves at `now`. Nothing of it is read before its MAC has been checked.
    pub(super) fn open(&self, value: &str, now: Timestamp) -> Option<Pass> {
        let (signed, mac) = value.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let mut keys = std::iter::once(&self.signing).chain(&self.others);
        keys.find(|key| mac_of(key, signed).verify_slice(&mac).is_ok())?;
        let mut fields = signed.split('.');
        let mut field = || fields.next();
        if field()? != VERSION {
            return None;
        }
        let pass = Pass {
            user: String::from_utf8(URL_SAFE_NO_PAD.decode(field()?).ok()?).ok()?,
            id: URL_SAFE_NO_PAD.decode(field()?).ok()?.try_into().ok()?,
            issued: Timestamp::from_second(field()?.parse().ok()?).ok()?,
            expires: Timestamp::from_second(field()?.parse().ok()?).ok()?,
        };
        (field().is_none() && now < pass.expires).then_some(pass)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac_of(key: &[u8; 32], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is valid");
    mac.update(text.as_bytes());
    mac
}
