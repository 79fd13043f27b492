//! The file that keeps a node's id.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::domain::{Node, NodeId};

const FILE: &str = "node-id";

/// Which node this is: two lines, the id and the name it last registered under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: NodeId,
    pub(super) name: String,
}

/// Why a node's id cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct IdentityError {
    /// The file that keeps it.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl Identity {
    /// Reads the file; none where there is none yet.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, IdentityError> {
        let file = directory.join(FILE);
        let mut text = String::new();
        let read = File::open(&file).and_then(|open| open.take(4096).read_to_string(&mut text));
        let parsed = match read {
            Ok(_) => Self::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error.to_string()),
        };
        parsed.map(Some).map_err(|problem| IdentityError { file, problem })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (id, name) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), ""));
        let id = id.parse().map_err(|error| {
            format!("its first line is no node id ({error}); remove it, and the node goes by its name")
        })?;
        Ok(Self { id, name: name.to_owned() })
    }

    /// Writes the file: it holds what it held before, or this.
    pub(super) fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        let file = directory.join(FILE);
        self.replace(directory, &file).map_err(|error| IdentityError { file, problem: error.to_string() })
    }

    fn replace(&self, directory: &Path, file: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let draft = directory.join("node-id.new");
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        write!(open, "{}\n{}\n", self.id, self.name)?;
        open.sync_all()?;
        fs::rename(&draft, file)
    }

    /// The id, unless the store knows it as that of another node: then the store is not the one that gave it.
    pub(super) fn id_in(&self, nodes: &[Node], name: &str) -> Option<NodeId> {
        let other = nodes.iter().any(|node| node.id == self.id && node.name != self.name && node.name != name);
        (!other).then_some(self.id)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data");
        assert_eq!(Identity::read(&path).unwrap(), None);
        for (id, name) in [(7, "a"), (123_456, "a longer name"), (1, "")] {
            let identity = Identity { id: NodeId(id), name: name.to_owned() };
            identity.write(&path).unwrap();
            assert_eq!(Identity::read(&path).unwrap(), Some(identity));
        }
    }

    #[test]
    fn what_is_no_id_is_an_error_that_names_the_file() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join(FILE);
        for content in [&b""[..], b"seven\n", b"7.5", b"\xff\xfe", b"99999999999999999999"] {
            fs::write(&file, content).unwrap();
            let error = Identity::read(directory.path()).unwrap_err().to_string();
            assert!(error.starts_with(file.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_that_names_the_file() {
        let identity = Identity { id: NodeId(7), name: "a".to_owned() };
        let error = identity.write(Path::new("/proc/evenkeel")).unwrap_err().to_string();
        assert!(error.starts_with("/proc/evenkeel/node-id: "), "{error}");
    }
}
