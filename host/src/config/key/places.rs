//! Where the cluster key is looked for, and where it is made.

use std::path::{Path, PathBuf};

use super::Keys;
use crate::{
    config::data_dir::{DataDirError, make_private, read_secret, secret},
    domain::Entropy,
};

const FILE: &str = "secure-cookie-key";

/// The files that may hold the key, the first that exists holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlaces {
    files: Vec<PathBuf>,
    /// Where it is made.
    new: PathBuf,
    /// A directory that is the daemon's own, and is made with the key.
    own: Option<PathBuf>,
}

/// The keys that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The keys.
    pub keys: Keys,
    /// The file that holds them.
    pub path: PathBuf,
}

impl KeyPlaces {
    /// One file, which somebody named: a key elsewhere is not what was meant.
    pub(in crate::config) fn named(file: PathBuf) -> Self {
        Self { files: vec![file.clone()], new: file, own: None }
    }

    /// The usual files: in the configuration directory, where the file comes with the others; beside the registry, which
    /// the daemons of one machine share; in the data directory. It is made in the last of those that there are.
    pub(in crate::config) fn usual(config_dir: Option<&Path>, registry: Option<&Path>, data_dir: &Path) -> Self {
        let new = registry.unwrap_or(data_dir);
        let mut files: Vec<_> = config_dir.into_iter().chain([new, data_dir]).map(|dir| dir.join(FILE)).collect();
        files.dedup();
        let own = (new == data_dir).then(|| data_dir.to_owned());
        Self { files, new: new.join(FILE), own }
    }

    /// The keys, where there are any.
    pub fn find(&self) -> Result<Option<Found>, DataDirError> {
        for path in &self.files {
            if let Some(text) = read_secret(path)? {
                return parsed(path, &text).map(Some);
            }
        }
        Ok(None)
    }

    /// The keys; one that is new, with mode 0600, where there are none.
    pub fn find_or_create(&self, entropy: &dyn Entropy) -> Result<Found, DataDirError> {
        if let Some(found) = self.find()? {
            return Ok(found);
        }
        if let Some(own) = &self.own {
            make_private(own)?;
        }
        parsed(&self.new, &secret(&self.new, entropy)?)
    }

    /// Where the key is, or would be made.
    pub fn path(&self) -> &Path {
        self.files.iter().find(|path| path.exists()).unwrap_or(&self.new)
    }

    /// Where it is looked for.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

fn parsed(path: &Path, text: &str) -> Result<Found, DataDirError> {
    match Keys::parse(text) {
        Ok(keys) => Ok(Found { keys, path: path.to_owned() }),
        Err(problem) => {
            Err(DataDirError::Exposed { path: path.to_owned(), problem: format!("holds no key: {problem}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use super::*;
    use crate::domain::fakes::Numbers;

    fn write(path: &Path, key: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, key).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn it_is_looked_for_in_the_configuration_beside_the_registry_and_in_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let [config, registry, data] = ["config", "registry", "data"].map(|name| dir.path().join(name));
        let places = KeyPlaces::usual(Some(&config), Some(&registry), &data);
        assert_eq!(places.find().unwrap(), None);
        assert_eq!(places.path(), registry.join(FILE));
        for place in [data, registry, config] {
            write(&place.join(FILE), &format!("the-key-in-{}", place.display()));
            assert_eq!(places.find().unwrap().unwrap().path, place.join(FILE));
            assert_eq!(places.path(), place.join(FILE));
        }
    }

    #[test]
    fn a_key_elsewhere_is_not_the_one_that_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let places = KeyPlaces::named(dir.path().join("named"));
        write(&dir.path().join(FILE), "a-key-of-another-name");
        assert_eq!(places.find().unwrap(), None);
        let made = places.find_or_create(&Numbers::default()).unwrap();
        assert_eq!(made.path, dir.path().join("named"));
        assert_eq!(places.find().unwrap(), Some(made));
    }

    #[test]
    fn where_there_is_none_it_is_made_for_its_owner_alone_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let places = KeyPlaces::usual(None, None, &data);
        let made = places.find_or_create(&Numbers::default()).unwrap();
        assert_eq!(made.path, data.join(FILE));
        assert_eq!(made.path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(places.find_or_create(&Numbers::default()).unwrap(), made);
    }

    #[test]
    fn what_is_no_key_is_told_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let places = KeyPlaces::usual(None, None, dir.path());
        let text = "a-key-of-the-cluster\nand something else\n";
        write(&dir.path().join(FILE), text);
        let error = places.find_or_create(&Numbers::default()).unwrap_err().to_string();
        assert!(error.contains("secure-cookie-key: holds no key: expected `next KEY`"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), text);
    }
}
