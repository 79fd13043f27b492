//! The end of a sign-in before its time.

use jiff::Timestamp;

/// A sign-in that was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignOut {
    /// The sign-in's own number: every cookie of it carries that.
    pub sign_in: [u8; 16],
    /// From when on no cookie of it is worth anything, by the store's clock.
    pub until: Timestamp,
}
