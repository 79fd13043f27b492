//! A password on its way from a form to PAM.

use std::fmt;

use zeroize::Zeroizing;

/// A password. Its memory is wiped when it goes, and nothing prints it.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// The longest that PAM takes, bytes.
    pub const LONGEST: usize = 511;

    /// The password of these bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// What was typed.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether PAM can be asked about it: no account is entered without a password, whatever the service allows.
    pub(super) fn is_usable(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= Self::LONGEST && !self.0.contains(&0)
    }
}

#[cfg(test)]
impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
