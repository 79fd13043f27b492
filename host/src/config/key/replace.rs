//! The steps by which the cluster key is replaced, and the file that says which of them has been taken.

use std::{
    fs::{File, OpenOptions, Permissions, rename},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{Beside, ClusterKey, Keys};
use crate::domain::Entropy;

/// A step of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new key is made known.
    Announce,
    /// It signs, and the old one holds still.
    Use,
    /// The old one goes.
    Finish,
}

/// Why a step cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// There is a next key already.
    #[error("the next key has been made already: once every node has a copy of the file, and was restarted, --use it")]
    Announced,
    /// The one before holds still.
    #[error("the key before holds still: --finish that replacement first")]
    Unfinished,
    /// There is no next key.
    #[error("there is no next key: evenkeel rotate-key, without --use, makes one")]
    NoNext,
    /// There is no key before.
    #[error("there is no key that could go: evenkeel rotate-key begins a replacement")]
    NoPrevious,
}

impl Keys {
    /// The keys after a step.
    pub fn after(&self, step: Step, entropy: &dyn Entropy) -> Result<Self, StepError> {
        let signing = self.signing.clone();
        match (step, &self.beside) {
            (Step::Announce, None) => {
                let drawn = URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()).into_bytes();
                Ok(Self { signing, beside: Some((Beside::Next, ClusterKey::from_bytes(drawn))) })
            }
            (Step::Announce, Some((Beside::Next, _))) => Err(StepError::Announced),
            (Step::Announce | Step::Use, Some((Beside::Previous, _))) => Err(StepError::Unfinished),
            (Step::Use, Some((Beside::Next, next))) => {
                Ok(Self { signing: next.clone(), beside: Some((Beside::Previous, signing)) })
            }
            (Step::Use, None) => Err(StepError::NoNext),
            (Step::Finish, Some((Beside::Previous, _))) => Ok(Self::one(signing)),
            (Step::Finish, _) => Err(StepError::NoPrevious),
        }
    }

    /// As the file has them.
    fn text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(self.signing.0.to_vec());
        text.push(b'\n');
        if let Some((beside, key)) = &self.beside {
            let word: &[u8] = match beside {
                Beside::Next => b"next ",
                Beside::Previous => b"previous ",
            };
            text.extend_from_slice(word);
            text.extend_from_slice(&key.0);
            text.push(b'\n');
        }
        text
    }

    /// Puts them in the place of those in a file, in one step; it stays whose it is.
    pub fn replace(&self, path: &Path, entropy: &dyn Entropy) -> std::io::Result<()> {
        let aside = path.with_extension(URL_SAFE_NO_PAD.encode(entropy.bytes::<9>()));
        let owner = path.metadata()?;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            if file.metadata()?.uid() != owner.uid() {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            file.write_all(&self.text())?;
            file.sync_all()?;
            rename(&aside, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&aside)))?;
        // The old key must not be what a crash leaves.
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fakes::Numbers;

    const KEY: &str = "the-key-of-the-cluster";

    #[test]
    fn a_replacement_has_three_steps_in_their_order() {
        let entropy = Numbers::default();
        let first = Keys::parse(KEY).unwrap();
        assert_eq!(first.after(Step::Use, &entropy), Err(StepError::NoNext));
        assert_eq!(first.after(Step::Finish, &entropy), Err(StepError::NoPrevious));
        let announced = first.after(Step::Announce, &entropy).unwrap();
        assert_eq!(announced.signing(), first.signing());
        assert_eq!(announced.after(Step::Announce, &entropy), Err(StepError::Announced));
        assert_eq!(announced.after(Step::Finish, &entropy), Err(StepError::NoPrevious));
        let used = announced.after(Step::Use, &entropy).unwrap();
        assert_eq!(used.all().nth(1), Some(first.signing()));
        assert_eq!(used.after(Step::Use, &entropy), Err(StepError::Unfinished));
        assert_eq!(used.after(Step::Announce, &entropy), Err(StepError::Unfinished));
        let finished = used.after(Step::Finish, &entropy).unwrap();
        assert_eq!(finished, Keys::one(used.signing().clone()));
        assert_ne!(finished.signing(), first.signing());
    }

    #[test]
    fn what_is_written_is_read_again_and_only_its_owner_can() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secure-cookie-key");
        let entropy = Numbers::default();
        let mut keys = Keys::parse(KEY).unwrap();
        std::fs::write(&path, KEY).unwrap();
        for step in [Step::Announce, Step::Use, Step::Finish] {
            keys = keys.after(step, &entropy).unwrap();
            keys.replace(&path, &entropy).unwrap();
            assert_eq!(Keys::parse(&std::fs::read_to_string(&path).unwrap()).unwrap(), keys);
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
