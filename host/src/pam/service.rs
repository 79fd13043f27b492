//! Which PAM service users sign in by.

use std::path::{Path, PathBuf};

/// Where services are kept, the first one first.
pub const DIRECTORIES: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];

/// Taken in this order where none is named: our own, that of Posit Workbench, the system's for people at a terminal, the
/// system's for everybody else.
pub const USUAL: [&str; 4] = ["evenkeel", "rstudio", "login", "other"];

/// Why there is no service to sign in by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The one that was named has no file. PAM itself would take another one's silently.
    #[error("auth-pam-service={name}: there is no such file in {}", directories(.searched))]
    Missing {
        /// Which.
        name: String,
        /// Where.
        searched: Vec<PathBuf>,
    },
    /// None was named, and there is none of the usual ones.
    #[error("there is no PAM service {} in {}; make one, or name one with auth-pam-service", USUAL.join(", "), directories(.searched))]
    None {
        /// Where.
        searched: Vec<PathBuf>,
    },
}

fn directories(searched: &[PathBuf]) -> String {
    searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The service `named`, else the first of the usual ones that there is.
///
/// # Errors
/// Where its file is missing.
pub fn choose(named: Option<&str>) -> Result<String, ServiceError> {
    choose_in(named, &DIRECTORIES.map(Path::new))
}

fn choose_in(named: Option<&str>, directories: &[&Path]) -> Result<String, ServiceError> {
    let is_there = |name: &&str| directories.iter().any(|directory| directory.join(name).is_file());
    let searched = || directories.iter().map(|path| path.to_path_buf()).collect();
    match named {
        Some(name) if is_there(&name) => Ok(name.to_owned()),
        Some(name) => Err(ServiceError::Missing { name: name.to_owned(), searched: searched() }),
        None => match USUAL.iter().find(|name| is_there(name)) {
            Some(name) => Ok((*name).to_owned()),
            None => Err(ServiceError::None { searched: searched() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn our_own_service_goes_before_the_usual_ones_and_a_named_one_before_all() {
        let [etc, lib] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let directories = [etc.path(), lib.path()];
        let choose = |named| choose_in(named, &directories);
        let none = choose(None).unwrap_err().to_string();
        assert!(none.starts_with("there is no PAM service evenkeel, rstudio, login, other in /"), "{none}");
        for (file, chosen) in [("other", "other"), ("login", "login"), ("site", "login"), ("evenkeel", "evenkeel")] {
            fs::write(lib.path().join(file), "").unwrap();
            assert_eq!(choose(None).as_deref(), Ok(chosen));
        }
        fs::write(etc.path().join("rstudio"), "").unwrap();
        assert_eq!(choose(Some("rstudio")).as_deref(), Ok("rstudio"));
        let missing = choose(Some("evenkel")).unwrap_err().to_string();
        assert!(missing.starts_with("auth-pam-service=evenkel: there is no such file in /"), "{missing}");
    }
}
