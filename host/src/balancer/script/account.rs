//! The account that a script runs as where the daemon is root.

use std::path::PathBuf;

use crate::accounts::lookup;

/// The server user where none is named.
const SERVER: &str = "rstudio-server";

/// Tried in this order where no account is named.
const USUAL: [&str; 2] = [SERVER, "nobody"];

/// An unprivileged account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its home.
    pub home: PathBuf,
}

/// Why there is no account to run a script as.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The one that was named does not exist.
    #[error("there is no account {0}")]
    Unknown(String),
    /// None was named and the usual ones do not exist.
    #[error("there is neither an account rstudio-server nor nobody; name one")]
    NoUsual,
    /// The script would have every right.
    #[error("{0} is root, and the balancer's script must not be; name an unprivileged account")]
    Root(String),
    /// The system's accounts cannot be read.
    #[error("account {name} cannot be looked up: {error}")]
    System {
        /// Whose.
        name: String,
        /// What the system said.
        error: nix::Error,
    },
}

impl Account {
    /// The account `name`, else the first of the usual ones that exists.
    pub fn find(name: Option<&str>) -> Result<Self, AccountError> {
        let Some(name) = name else {
            let found = USUAL.iter().find_map(|usual| Self::named(usual).transpose());
            return found.unwrap_or(Err(AccountError::NoUsual));
        };
        Self::named(name)?.ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    /// The server user whose files are trusted like root's: the account `name`, else the usual one; none where there is no
    /// such account. Never `nobody`, whose the files of strangers are on a network file system.
    pub fn owner(name: Option<&str>) -> Result<Option<Self>, AccountError> {
        match Self::named(name.unwrap_or(SERVER)) {
            Err(AccountError::Root(_)) => Ok(None),
            Ok(Some(account)) if account.name == "nobody" => Ok(None),
            Ok(None) if name.is_some() => Err(AccountError::Unknown(name.unwrap_or_default().to_owned())),
            found => found,
        }
    }

    fn named(name: &str) -> Result<Option<Self>, AccountError> {
        let found = lookup::by_name(name).map_err(|error| AccountError::System { name: name.to_owned(), error })?;
        let Some(found) = found else { return Ok(None) };
        if found.uid == 0 {
            return Err(AccountError::Root(name.to_owned()));
        }
        Ok(Some(Self { name: found.name, uid: found.uid, gid: found.gid, home: found.home }))
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_is_found_by_its_name_and_must_not_be_root() {
        let nobody = Account::find(Some("nobody")).expect("every system has it");
        assert!(nobody.name == "nobody" && nobody.uid != 0);
        assert!(Account::find(None).is_ok());
        let error = Account::find(Some("no-such-account")).expect_err("unknown").to_string();
        assert_eq!(error, "there is no account no-such-account");
        assert!(Account::find(Some("root")).expect_err("refused").to_string().starts_with("root is root"));
    }

    #[test]
    fn files_are_trusted_of_the_account_that_is_named_and_never_of_nobody() {
        let owner = |name| Account::owner(name).map(|found| found.map(|account| account.name));
        assert_eq!(owner(Some("daemon")).expect("every system has it").as_deref(), Some("daemon"));
        for none in ["nobody", "root"] {
            assert_eq!(owner(Some(none)).expect("every system has it"), None);
        }
        assert_ne!(owner(None).expect("accounts can be read").as_deref(), Some("nobody"));
        assert!(owner(Some("no-such-account")).is_err());
    }
}
