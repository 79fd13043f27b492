//! The Unix accounts of this machine, as its name service knows them: `/etc/passwd`, SSSD, LDAP alike.
//!
//! A directory service may be slow or hang. So look-ups are made on threads of their own, few at once, nobody waits for
//! one longer than a limit, and who asks what is being asked waits for the same answer.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use async_trait::async_trait;

mod admission;
mod asked;
#[cfg(test)]
pub(crate) mod fakes;
pub mod lookup;
mod system;

pub use admission::{Admission, Refused};
pub use system::SystemAccounts;

/// What tells about accounts.
#[async_trait]
pub trait Accounts: Send + Sync + Debug {
    /// The account that answers to this name; none where there is no such account. Its own name, which may be spelt
    /// another way, is the one that counts.
    async fn find(&self, name: &str) -> Result<Option<Account>, AccountsError>;

    /// The account with this user id.
    async fn find_uid(&self, uid: u32) -> Result<Option<Account>, AccountsError>;

    /// Every group the account is in, its primary one first.
    async fn memberships(&self, account: &Account) -> Result<Vec<Group>, AccountsError>;

    /// The names of these groups; without those that have none.
    async fn groups(&self, account: &Account) -> Result<Vec<String>, AccountsError> {
        let all = self.memberships(account).await?;
        Ok(all.into_iter().filter_map(|group| group.name).collect())
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its canonical name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its home, which need not exist.
    pub home: PathBuf,
    /// Its login shell.
    pub shell: PathBuf,
}

/// Shells that let nobody in, by their file names.
const NO_SHELLS: [&str; 4] = ["nologin", "false", "sync", "shutdown"];

impl Account {
    /// Whether its shell lets it run programs.
    pub fn may_log_in(&self) -> bool {
        self.shell.file_name().is_none_or(|name| !NO_SHELLS.iter().any(|no| name == *no))
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub gid: u32,
    /// Its name, where it has one.
    pub name: Option<String>,
}

/// Why an account cannot be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountsError {
    /// The name service does not answer.
    #[error("{what} cannot be looked up: the name service gave no answer within {} s", .limit.as_secs_f32())]
    TimedOut {
        /// `the account ada`
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It answers too slowly.
    #[error("{what} cannot be looked up: {waiting} look-ups wait for the name service already")]
    Busy {
        /// `the account ada`
        what: String,
        /// How many wait.
        waiting: usize,
    },
    /// It failed.
    #[error("{what} cannot be looked up: {problem}")]
    System {
        /// `the account ada`
        what: String,
        /// What the system said.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_that_only_end_are_no_shells() {
        let account = |shell: &str| Account {
            name: "ada".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/ada".into(),
            shell: shell.into(),
        };
        for shell in ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync"] {
            assert!(!account(shell).may_log_in(), "{shell}");
        }
        // An empty one stands for /bin/sh.
        for shell in ["/bin/bash", "/usr/bin/fish", "/opt/false/zsh", ""] {
            assert!(account(shell).may_log_in(), "{shell}");
        }
    }
}
