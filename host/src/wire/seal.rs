//! One header by which a node proves that a request is its own, for one recipient, once: the statement as JSON and the
//! MAC over it, the method and the target. The MAC covers the JSON's bytes as sent, so the statement can grow fields
//! that older nodes pass over.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    mac::MacKey,
    replays::{NONCE, Replays, Stale},
};
use crate::{
    config::Keys,
    domain::{Clock, Entropy},
};

/// The longest sealed header that is read, in bytes.
const LONGEST: usize = 8192;

/// What is common to all statements.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed<T> {
    from: String,
    to: String,
    /// Milliseconds since 1970 by the store's clock.
    time: i64,
    nonce: String,
    #[serde(flatten)]
    statement: T,
}

/// Why a request is not taken for a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// It does not say that it is one.
    #[error("the request does not say which peer it comes from")]
    Missing,
    /// What it says cannot be read.
    #[error("the peer's statement cannot be read: it is of another version or was changed on the way")]
    Malformed,
    /// The MAC is not the statement's.
    #[error("the MAC is wrong: the nodes' secure-cookie-key differs, or the request was changed on the way")]
    Mac,
    /// It was meant for another node.
    #[error("the request is for another node: the sender's registry holds an old name or address")]
    Recipient,
    /// Its time is too far from now.
    #[error("the request is more than 30 s old or from the future, by the store's clock")]
    Time,
    /// It was made before this daemon had its port: another may have received it.
    #[error("the request was made before this daemon had its port")]
    Early,
    /// It was received before.
    #[error("the request was received before")]
    Replayed,
    /// Too many requests arrive to know the old ones again.
    #[error("too many requests of peers; try again")]
    Busy,
    /// The body is not the one that was signed.
    #[error("the body is not the one that was signed")]
    Body,
}

/// Seals and opens headers of one purpose.
#[derive(Debug)]
pub struct Seal {
    own: String,
    purpose: &'static str,
    header: HeaderName,
    key: MacKey,
    /// Others sign with these while the cluster key is being replaced.
    others: Vec<MacKey>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    replays: Replays,
    /// What was sealed before is not opened.
    since: Option<Timestamp>,
}

impl Seal {
    /// The seal of the node `own` for one purpose, which has a key and a header of its own.
    pub fn new(
        own: String,
        purpose: &'static str,
        header: HeaderName,
        keys: impl Into<Keys>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let keys = keys.into();
        let key = MacKey::derive(keys.signing(), purpose);
        let others = keys.all().skip(1).map(|key| MacKey::derive(key, purpose)).collect();
        Self { own, purpose, header, key, others, clock, entropy, replays: Replays::default(), since: None }
    }

    /// Opens nothing that was sealed before this time: what another daemon or another program at the same port has received
    /// cannot be brought again.
    #[must_use]
    pub fn since(self, since: Timestamp) -> Self {
        Self { since: Some(since), ..self }
    }

    /// The header for a request to the node named `to`.
    pub fn seal<T: Serialize>(&self, to: &str, method: &Method, target: &str, statement: &T) -> HeaderValue {
        let sealed = Sealed {
            from: self.own.clone(),
            to: to.to_owned(),
            time: self.clock.now().as_millisecond(),
            nonce: URL_SAFE_NO_PAD.encode(self.entropy.bytes::<NONCE>()),
            statement,
        };
        // Strings and numbers always serialise, and base64 is always a header's value; were it otherwise, an empty
        // header would be refused at the other end.
        let json = serde_json::to_vec(&sealed).unwrap_or_default();
        let mac = self.key.sign(&self.fields(&json, method, target));
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(&json), URL_SAFE_NO_PAD.encode(mac));
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// What a peer states of a request, and the peer's name.
    pub fn open<T: DeserializeOwned>(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<(String, T), PeerRefusal> {
        let mut values = headers.get_all(&self.header).iter();
        let value = values.next().ok_or(PeerRefusal::Missing)?;
        if values.next().is_some() || value.len() > LONGEST {
            return Err(PeerRefusal::Malformed);
        }
        let (json, mac) = value.to_str().ok().and_then(|text| text.split_once('.')).ok_or(PeerRefusal::Malformed)?;
        let json = URL_SAFE_NO_PAD.decode(json).map_err(|_| PeerRefusal::Malformed)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| PeerRefusal::Malformed)?;
        let fields = self.fields(&json, method, target);
        if !std::iter::once(&self.key).chain(&self.others).any(|key| key.verify(&fields, &mac)) {
            return Err(PeerRefusal::Mac);
        }
        let sealed: Sealed<T> = serde_json::from_slice(&json).map_err(|_| PeerRefusal::Malformed)?;
        // Equal, not similar: `node1` is not `node10`.
        if sealed.to != self.own {
            return Err(PeerRefusal::Recipient);
        }
        let nonce = URL_SAFE_NO_PAD.decode(&sealed.nonce).ok().and_then(|nonce| nonce.try_into().ok());
        let nonce: [u8; NONCE] = nonce.ok_or(PeerRefusal::Malformed)?;
        let taken = self.replays.take(nonce, sealed.time, self.clock.now().as_millisecond());
        let is_early = self.since.is_some_and(|since| sealed.time < since.as_millisecond());
        if is_early && taken != Err(Stale::Time) {
            return Err(PeerRefusal::Early);
        }
        taken.map_err(|stale| match stale {
            Stale::Time => PeerRefusal::Time,
            Stale::Replayed => PeerRefusal::Replayed,
            Stale::Full => PeerRefusal::Busy,
        })?;
        Ok((sealed.from, sealed.statement))
    }

    fn fields<'a>(&self, json: &'a [u8], method: &'a Method, target: &'a str) -> [&'a [u8]; 4] {
        [self.purpose.as_bytes(), json, method.as_str().as_bytes(), target.as_bytes()]
    }
}
