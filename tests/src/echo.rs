//! What the kind `echo` does, for the tests of what lies between.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Client, Session};

/// Answers with the request's body while it arrives.
pub const STREAM: &str = "echo";

/// Sends every message of a web socket back.
pub const SOCKET: &str = "ws";

/// A request as the program saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Everything that the program said of it.
    pub text: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}
