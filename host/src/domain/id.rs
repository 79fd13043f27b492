//! The names of things: node ids, session ids, epochs, revisions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Entropy;

/// The store's number for a node, used in commands and in REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub i64);

/// The store's number for a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlacementId(pub i64);

/// Which start of a session this is: 1 for the first, higher by at least 1 for each that takes its place. A start, a hop
/// or a report under another epoch than the session's is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch of a session's first start.
    pub const FIRST: Self = Self(1);

    /// The epoch of the start that takes this one's place.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Counts what can change a placement: reservations and changes of eligibility. A decision holds only while the revision
/// it was made at does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}
display_number!(NodeId, PlacementId, Epoch, Revision);

/// A session's id: 8 characters of `0-9a-z` without `i`, `l`, `o` and `u`, so 40 bits, part of the session's URL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId([u8; 8]);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is no session id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a session id is 8 characters of 0-9 and a-z without i, l, o and u")]
pub struct NotASessionId;

impl SessionId {
    /// An id drawn at random. The store refuses one that is taken.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        Self(entropy.bytes::<8>().map(|byte| ALPHABET[usize::from(byte % 32)]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The path under which the browser reaches the session, with both slashes: `/s/<id>/`.
    pub fn base_path(&self) -> String {
        format!("/s/{self}/")
    }
}

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let bytes: [u8; 8] = text.as_bytes().try_into().map_err(|_| NotASessionId)?;
        if bytes.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(bytes)) } else { Err(NotASessionId) }
    }
}

impl TryFrom<String> for SessionId {
    type Error = NotASessionId;

    fn try_from(text: String) -> Result<Self, NotASessionId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fakes::Numbers;

    #[test]
    fn a_drawn_id_reads_back() {
        let id = SessionId::draw(&Numbers::default());
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_eq!(id.base_path(), format!("/s/{id}/"));
    }

    #[test]
    fn letters_that_look_like_others_and_wrong_lengths_are_no_id() {
        for text in
            ["", "abc", "abcdefgi", "abcdefgl", "abcdefgo", "abcdefgu", "ABCDEFGH", "abcdefgh1", "../../..", "ab%2fcde"]
        {
            assert_eq!(text.parse::<SessionId>(), Err(NotASessionId), "{text}");
        }
    }
}
