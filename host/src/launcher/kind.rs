//! Kinds of session as data.

/// A kind.
#[derive(Clone, Debug)]
pub struct Kind {}

/// The kinds that are known.
#[derive(Clone, Debug)]
pub struct Kinds {}

/// Whether a program expects the prefix `/s/<id>/` in the request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePath {
    /// It does.
    Kept,
    /// It uses relative URLs and expects the target without it.
    Stripped,
}
