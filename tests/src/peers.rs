//! A peer that is none of ours: it has the cluster's key, and proves its calls as ARCHITECTURE.md says that nodes do, by code of
//! its own. So what a node refuses is refused for the reason that a test is about.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What a statement says beside what it is about.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Who makes it.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// Milliseconds since 1970.
    pub time: i64,
    /// What tells it from all others.
    pub nonce: [u8; 16],
}

impl Statement {
    /// One of now, by a peer `from` for the node `to`.
    #[expect(clippy::disallowed_methods, reason = "the daemon that is to take it goes by the machine's clock")]
    pub fn now(from: &str, to: &str) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let digest = Sha256::digest(since.as_nanos().to_be_bytes());
        let nonce = digest.as_slice().get(..16).context("a digest")?.try_into()?;
        Ok(Self { from: from.to_owned(), to: to.to_owned(), time: i64::try_from(since.as_millis())?, nonce })
    }

    /// The same, by so many seconds later.
    #[must_use]
    pub fn later(self, seconds: i64) -> Self {
        Self { time: self.time + seconds * 1000, ..self }
    }
}

/// Whoever has the key.
#[derive(Clone, Debug)]
pub struct Forger(Vec<u8>);

impl Forger {
    /// With the key in a file.
    pub fn with_key_of(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Self(text.lines().next().context("an empty key")?.trim().as_bytes().to_vec()))
    }

    /// With another key.
    pub fn with_another_key() -> Self {
        Self(b"a key that is not this cluster's".to_vec())
    }

    /// The header `evenkeel-call` of a control call.
    pub fn call(&self, statement: &Statement, method: &str, target: &str, body: &[u8]) -> Result<String> {
        let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        self.seal("peer-call", statement, &json!({ "body": digest }), method, target)
    }

    /// The header `evenkeel-hop` of a forwarded request.
    pub fn hop(
        &self,
        statement: &Statement,
        session: (&str, i64),
        user: &str,
        method: &str,
        target: &str,
    ) -> Result<String> {
        let about = json!({
            "session": session.0, "epoch": session.1, "user": user, "client": "192.0.2.7:1234", "secure": false,
        });
        self.seal("peer-hop", statement, &about, method, target)
    }

    fn seal(&self, purpose: &str, statement: &Statement, about: &Value, method: &str, target: &str) -> Result<String> {
        let Statement { from, to, time, nonce } = statement;
        let mut fields = Map::new();
        fields.insert("from".to_owned(), json!(from));
        fields.insert("to".to_owned(), json!(to));
        fields.insert("time".to_owned(), json!(time));
        fields.insert("nonce".to_owned(), json!(URL_SAFE_NO_PAD.encode(nonce)));
        fields.extend(about.as_object().cloned().unwrap_or_default());
        let json = Value::Object(fields).to_string().into_bytes();
        // HKDF-SHA256 (RFC 5869) without a salt, one block.
        let extracted = mac(&[0; 32], &[&self.0])?;
        let key = mac(&extracted, &[purpose.as_bytes(), &[1]])?;
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for field in [purpose.as_bytes(), &json, method.as_bytes(), target.as_bytes()] {
            parts.push(u64::try_from(field.len())?.to_le_bytes().to_vec());
            parts.push(field.to_vec());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mac = mac(&key, &parts)?;
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(&json), URL_SAFE_NO_PAD.encode(mac)))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().to_vec())
}
