//! Compiled code that is kept, so that a module is compiled once.
//!
//! An entry is a file named after the version of the engine, the module's digest and the engine's settings. Code that is
//! taken up is run as it is, so an entry carries a MAC over its name and its contents, under a key that lies in the same
//! directory: what another daemon compiled, what was restored from elsewhere, renamed or damaged, is not taken, but
//! compiled again. Who can read the key is the daemon's own user, who could as well change the program.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use super::{Compiled, Shape};
use crate::{
    balancer::wasm::{LoadError, engine, load},
    config::{
        ClusterKey,
        data_dir::{DataDirError, make_private, secret},
    },
    domain::Entropy,
    wire::mac::MacKey,
};

/// What all entries may take together, bytes.
const MOST: u64 = 1 << 30;
/// A name of a policy that is kept, bytes.
const MOST_NAME: usize = 1_024;
/// Bytes of a MAC.
const MAC: usize = 32;
/// The key's file.
const KEY: &str = "key";
const ENTRY: &str = "code";
const ASIDE: &str = "new";

/// Why compiled code cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory or the key in it cannot be had, or is not this user's alone.
    #[error("compiled balancers are not kept: {0}")]
    Directory(#[from] DataDirError),
    /// There is nothing to compile with.
    #[error("compiled balancers are not kept: {0}")]
    Engine(#[from] LoadError),
}

/// A directory of compiled code.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    key: MacKey,
    most: u64,
    /// What entries of this version of the program begin with.
    generation: String,
    /// Tells apart what is written at the same time.
    written: AtomicU64,
}

impl Cache {
    /// Keeps code in this directory, which is made where it is missing. It and its key must be this process's user's, and
    /// nobody else's to write.
    pub fn open(directory: &Path, entropy: &dyn Entropy) -> Result<Self, CacheError> {
        make_private(directory)?;
        let secret = secret(&directory.join(KEY), entropy)?;
        let key = MacKey::derive(&ClusterKey::from_bytes(secret.into_bytes()), "compiled-balancer");
        let version = settings(&engine::compile_only(Shape { reservation: None })?);
        let generation = format!("{}-{}", env!("CARGO_PKG_VERSION"), &version[..16]);
        Ok(Self { directory: directory.to_owned(), key, most: MOST, generation, written: AtomicU64::new(0) })
    }

    /// With another bound.
    #[cfg(test)]
    pub(super) fn of_size(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Where the code of a module for an engine is kept.
    pub(super) fn entry(&self, digest: &str, engine: &wasmtime::Engine) -> Entry<'_> {
        Entry { cache: self, name: format!("{}-{digest}-{}.{ENTRY}", self.generation, settings(engine)) }
    }

    /// Removes what other versions of the program left, and the oldest entries where all take too much.
    fn tidy(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        let own = format!(".{}-", std::process::id());
        for file in self.directory.read_dir()? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let is_left =
                (end == ENTRY && !name.starts_with(&self.generation)) || (end == ASIDE && !name.contains(&own));
            if is_left {
                remove(&path)?;
            } else if end == ENTRY
                && let Ok(metadata) = path.metadata()
            {
                entries.push((metadata.modified()?, path, metadata.len()));
            }
        }
        entries.sort_unstable();
        let mut total: u64 = entries.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in entries {
            if total <= self.most {
                break;
            }
            remove(&path)?;
            total -= size;
        }
        Ok(())
    }
}

/// The place of one module's code for one engine.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    cache: &'a Cache,
    name: String,
}

impl Entry<'_> {
    pub(super) fn path(&self) -> PathBuf {
        self.cache.directory.join(&self.name)
    }

    /// What was kept; none where there is nothing, or something that this daemon did not put there.
    pub(super) fn read(&self) -> Option<Compiled> {
        let bytes = match own(&self.path(), self.cache.most) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %self.path().display(), %error, "compiled code is not taken, and made again");
                return None;
            }
        };
        let compiled = self.open(bytes);
        if compiled.is_none() {
            tracing::warn!(path = %self.path().display(), "compiled code is damaged or another's, and made again");
        }
        compiled
    }

    fn open(&self, mut bytes: Vec<u8>) -> Option<Compiled> {
        let (mac, rest) = bytes.split_at_checked(MAC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (export, code) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let holds = self.cache.key.verify(&[self.name.as_bytes(), export, code], mac);
        let export = std::str::from_utf8(export).ok()?.to_owned();
        let start = bytes.len() - code.len();
        bytes.drain(..start);
        holds.then_some(Compiled { export, code: bytes })
    }

    /// Keeps code. Where that fails, it is compiled again the next time.
    pub(super) fn write(&self, compiled: &Compiled) {
        if compiled.export.len() > MOST_NAME {
            return;
        }
        if let Err(error) = self.try_write(compiled).and_then(|()| self.cache.tidy()) {
            tracing::warn!(path = %self.path().display(), %error, "compiled code is not kept");
        }
    }

    fn try_write(&self, Compiled { export, code }: &Compiled) -> io::Result<()> {
        let number = self.cache.written.fetch_add(1, Ordering::Relaxed);
        let aside = self.path().with_extension(format!("{}-{number}.{ASIDE}", std::process::id()));
        let mac = self.cache.key.sign(&[self.name.as_bytes(), export.as_bytes(), code]);
        let length = export.len() as u32;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            for part in [&mac[..], &length.to_le_bytes(), export.as_bytes(), code] {
                file.write_all(part)?;
            }
            // The MAC tells of what a crash has cut off, so nothing waits for the disk.
            fs::rename(&aside, self.path())
        };
        write().inspect_err(|_| drop(fs::remove_file(&aside)))
    }
}

/// The bytes of a file that nobody else could have written.
fn own(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !is_own(&metadata)
        || path.parent().is_some_and(|above| !above.metadata().is_ok_and(|above| is_own_place(&above)))
    {
        return Err(io::Error::other("somebody else could have written it"));
    }
    let mut bytes = Vec::new();
    File::take(file, most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.is_file() && is_own_place(metadata)
}

fn is_own_place(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the code that an engine runs depends on: its version, its settings, the processor.
fn settings(engine: &wasmtime::Engine) -> String {
    let mut hash = Settings(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hash);
    load::hex(&hash.0.finalize())
}

struct Settings(Sha256);

impl Hasher for Settings {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not used: the digest is taken whole.
    fn finish(&self) -> u64 {
        0
    }
}
