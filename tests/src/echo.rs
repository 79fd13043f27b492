//! What the kind `echo` does, for the tests of what lies between.

use std::collections::BTreeMap;

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
    headers: BTreeMap<String, Vec<String>>,
}

impl Seen {
    /// The values of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> &[String] {
        self.headers.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Has the program describe the request that it gets: a `GET` with that query and those headers.
pub async fn describe(client: &Client, session: &Session, query: &str, headers: &[(&str, &str)]) -> Result<Seen> {
    let reply = client.get_with(&session.path(&format!("headers?{query}")), headers).await?.success()?;
    let value: Value = reply.json()?;
    let named: BTreeMap<String, Vec<String>> = serde_json::from_value(value["headers"].clone())?;
    let text = |field: &str| value[field].as_str().map(str::to_owned).with_context(|| format!("no {field}"));
    Ok(Seen { method: text("method")?, target: text("target")?, text: reply.text(), headers: named })
}
