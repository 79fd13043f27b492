//! What the configuration's defaults depend on: who runs the daemon, and where.

use std::path::PathBuf;

/// The machine and the user, as `cli` finds them.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Whether the daemon runs as root.
    pub root: bool,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The system's host name.
    pub host_name: String,
}

impl Surroundings {
    /// Where a daemon keeps what is its own, unless it is told otherwise; none where there is no home either.
    pub fn data_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some("/var/lib/evenkeel".into());
        }
        let base = self.xdg_data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))?;
        Some(base.join("evenkeel"))
    }

    /// Where the sockets of sessions lie, unless it is told otherwise; none where there is no such place but in the data
    /// directory.
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some("/run/evenkeel".into());
        }
        Some(self.xdg_runtime_dir.as_ref()?.join("evenkeel"))
    }

    /// Those of Ada, who is nobody in particular.
    #[cfg(test)]
    pub(crate) fn of_ada() -> Self {
        Self {
            root: false,
            home: Some("/home/ada".into()),
            xdg_data_home: None,
            xdg_runtime_dir: Some("/run/user/1000".into()),
            host_name: "n1".to_owned(),
        }
    }
}
