//! The cluster key, `secure-cookie-key`, the keys derived from it, and the one beside it while it is being replaced.
//!
//! A replacement takes three steps, each of them on every node before the next: the new key is made known (`next`), then it
//! signs and the old one is known still (`previous`), then the old one goes. So each node knows, at any time, whatever any
//! other node signs with. The file says which step it is at:
//!
//! ```text
//! the key that signs
//! next the key that will, or
//! previous the key that did
//! ```

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::data_dir::MIN_SECRET;

mod places;
mod replace;

pub use places::{Found, KeyPlaces};
pub use replace::{Step, StepError};

/// The secret that all nodes of a cluster share. Nothing is signed with it; each purpose has a key derived from it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey(Zeroizing<Vec<u8>>);

impl ClusterKey {
    /// The key from its bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose as its info.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        // 32 bytes are always a valid length: the limit is 255 times the hash's.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(purpose.as_bytes(), &mut key);
        key
    }

    /// What tells this key from others and says nothing else of it: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.derive("fingerprint").iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

/// The keys that hold on a node: the one that signs, and one beside it while the key is being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    signing: ClusterKey,
    beside: Option<(Beside, ClusterKey)>,
}

impl From<&ClusterKey> for Keys {
    fn from(signing: &ClusterKey) -> Self {
        Self::one(signing.clone())
    }
}

impl From<&Self> for Keys {
    fn from(keys: &Self) -> Self {
        keys.clone()
    }
}

/// What the key beside the one that signs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It will sign once every node knows it.
    Next,
    /// It signed until every node knew the one that does now.
    Previous,
}

/// How a key that a cluster goes by stands to the keys of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the one that signs here.
    Same,
    /// It is the one that signed here before: the cluster is to go by the one that signs now.
    Previous,
    /// It is the one that will sign here: the cluster is further than this node.
    Next,
    /// It is not known here.
    Unknown,
}

impl Keys {
    /// One key, and none beside it.
    pub fn one(signing: ClusterKey) -> Self {
        Self { signing, beside: None }
    }

    /// Reads what the file has; says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let key = |text: &str| match text.len() {
            ..MIN_SECRET => Err(format!("a key has at least {MIN_SECRET} characters")),
            _ => Ok(ClusterKey::from_bytes(text.as_bytes().to_vec())),
        };
        let signing = key(lines.next().unwrap_or_default())?;
        let beside = match lines.next() {
            None => None,
            Some(line) => Some(match line.split_once(' ') {
                Some(("next", text)) => (Beside::Next, key(text.trim())?),
                Some(("previous", text)) => (Beside::Previous, key(text.trim())?),
                _ => return Err("expected `next KEY` or `previous KEY` in the second line".to_owned()),
            }),
        };
        match lines.next() {
            Some(_) => Err("expected two lines at most".to_owned()),
            None => Ok(Self { signing, beside }),
        }
    }

    /// The key that signs and encrypts.
    pub fn signing(&self) -> &ClusterKey {
        &self.signing
    }

    /// All that hold, the one that signs first.
    pub fn all(&self) -> impl Iterator<Item = &ClusterKey> {
        std::iter::once(&self.signing).chain(self.beside.iter().map(|(_, key)| key))
    }

    /// What the key beside the one that signs is for; none where there is no such key.
    pub fn beside(&self) -> Option<Beside> {
        self.beside.as_ref().map(|(beside, _)| *beside)
    }

    /// How the key of a [`ClusterKey::fingerprint`] stands to these.
    pub fn standing(&self, fingerprint: &str) -> Standing {
        match &self.beside {
            _ if self.signing.fingerprint() == fingerprint => Standing::Same,
            Some((beside, key)) if key.fingerprint() == fingerprint => match beside {
                Beside::Next => Standing::Next,
                Beside::Previous => Standing::Previous,
            },
            _ => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an-old-key-of-the-cluster";
    const NEW: &str = "a-new-key-of-the-cluster";

    #[test]
    fn a_file_of_one_line_is_the_key_as_it_always_was() {
        let keys = Keys::parse(&format!("{OLD}\n")).unwrap();
        assert_eq!(keys, Keys::one(ClusterKey::from_bytes(OLD.as_bytes().to_vec())));
        assert_eq!(keys.all().count(), 1);
    }

    #[test]
    fn while_the_key_is_replaced_every_node_knows_what_any_other_signs_with() {
        let steps =
            [OLD.to_owned(), format!("{OLD}\nnext {NEW}\n"), format!("{NEW}\nprevious {OLD}\n"), NEW.to_owned()]
                .map(|text| Keys::parse(&text).unwrap());
        for pair in steps.windows(2) {
            let [before, after] = pair else { unreachable!() };
            assert!(before.all().any(|key| key == after.signing()));
            assert!(after.all().any(|key| key == before.signing()));
        }
    }

    #[test]
    fn the_clusters_key_is_told_from_one_that_is_replaced_and_one_that_is_unknown() {
        let [old, new] = [OLD, NEW].map(|text| Keys::parse(text).unwrap().signing().fingerprint());
        let standing = |text: &str, cluster: &str| Keys::parse(text).unwrap().standing(cluster);
        assert_eq!(standing(OLD, &old), Standing::Same);
        assert_eq!(standing(OLD, &new), Standing::Unknown);
        assert_eq!(standing(&format!("{OLD}\nnext {NEW}"), &new), Standing::Next);
        assert_eq!(standing(&format!("{NEW}\nprevious {OLD}"), &old), Standing::Previous);
        assert_eq!(standing(&format!("{NEW}\nprevious {OLD}"), &new), Standing::Same);
    }

    #[test]
    fn a_file_of_another_form_is_refused_and_nothing_of_it_is_told() {
        let texts = [
            String::new(),
            "short".to_owned(),
            format!("{OLD}\n{NEW}"),
            format!("{OLD}\nnext short"),
            format!("{OLD}\nnext {NEW}\nprevious {NEW}"),
        ];
        for text in texts {
            let problem = Keys::parse(&text).unwrap_err();
            assert!(!problem.contains("cluster") && !problem.contains("short"), "{problem}");
        }
        assert_eq!(format!("{:?}", ClusterKey::from_bytes(OLD.into())), "ClusterKey(…)");
    }
}
