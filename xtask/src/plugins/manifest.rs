//! `plugins/dist/manifest.toml`: what the committed modules were built from, and by what.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const NAME: &str = "manifest.toml";
const HEADER: &str = "# Written by `cargo xtask plugins`, read by `cargo xtask plugins --check`.\n";

/// The record of a build.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The digest of the sources, as [`super::sources::digest`] makes it.
    pub(super) source: String,
    /// What compiled and linked them: where it is the same, so are the bytes.
    pub(super) compiler: String,
    /// The SHA-256 of each module.
    pub(super) modules: BTreeMap<String, String>,
}

impl Manifest {
    /// The record of the modules in a directory.
    pub(super) fn of(directory: &Path, source: String, compiler: String) -> anyhow::Result<Self> {
        let digest = |name: &str| anyhow::Ok((name.to_owned(), digest_of(&super::module(directory, name))?));
        let modules = super::BUILTIN.into_iter().map(digest).collect::<Result<_, _>>()?;
        Ok(Self { source, compiler, modules })
    }

    /// Reads it from a directory.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(NAME);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: run `cargo xtask plugins`", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is damaged: run `cargo xtask plugins`", path.display()))
    }

    /// Writes it into a directory.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join(NAME);
        fs::write(&path, HEADER.to_owned() + &toml::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The SHA-256 of a file, hexadecimal.
pub(super) fn digest_of(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}: run `cargo xtask plugins`", path.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
