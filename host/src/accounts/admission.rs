//! Who may have sessions of this daemon.

use std::path::PathBuf;

use super::Account;

/// What an account's user id must be at least where nothing is configured: below it are the system's own.
const USUAL_MINIMUM: u32 = 1000;

/// Whose sessions this daemon runs, as far as an account itself decides that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The account that the daemon runs as.
    pub own: Account,
    /// `auth-minimum-user-id`, where it is configured. It then holds for the daemon's own account too.
    pub minimum_uid: Option<u32>,
}

/// Why an account has no sessions here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The daemon is not root.
    #[error(
        "this node runs sessions of {own} only, whom its daemon runs as, not of {user}: that takes a daemon of root's"
    )]
    NotOwn {
        /// The daemon's.
        own: String,
        /// Who was refused.
        user: String,
    },
    /// It is one of the system's.
    #[error("{user} has the user id {uid}, and those below {minimum} have no sessions (auth-minimum-user-id)")]
    System {
        /// Who was refused.
        user: String,
        /// Its user id.
        uid: u32,
        /// The least that is admitted.
        minimum: u32,
    },
    /// It may run nothing.
    #[error("{user} may not log in on this node: the account's shell is {}", .shell.display())]
    NoShell {
        /// Who was refused.
        user: String,
        /// Its shell.
        shell: PathBuf,
    },
}

impl Admission {
    /// Whether the daemon can run sessions of others.
    pub fn is_root(&self) -> bool {
        self.own.uid == 0
    }

    /// Whether the account may have sessions.
    pub fn check(&self, account: &Account) -> Result<(), Refused> {
        let is_own = account.uid == self.own.uid;
        let user = || account.name.clone();
        if !is_own && !self.is_root() {
            return Err(Refused::NotOwn { own: self.own.name.clone(), user: user() });
        }
        let minimum = self.minimum_uid.unwrap_or(if is_own { 0 } else { USUAL_MINIMUM });
        if account.uid < minimum {
            return Err(Refused::System { user: user(), uid: account.uid, minimum });
        }
        if !account.may_log_in() {
            return Err(Refused::NoShell { user: user(), shell: account.shell.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, uid: u32) -> Account {
        Account { name: name.into(), uid, gid: uid, home: "/".into(), shell: "/bin/sh".into() }
    }

    fn refused(admission: &Admission, account: &Account) -> String {
        admission.check(account).unwrap_err().to_string()
    }

    #[test]
    fn a_daemon_of_roots_admits_people_and_itself() {
        let admission = Admission { own: account("root", 0), minimum_uid: None };
        for (name, uid) in [("ada", 1000), ("bob", 70_000), ("root", 0)] {
            assert_eq!(admission.check(&account(name, uid)), Ok(()));
        }
        assert_eq!(
            refused(&admission, &account("www-data", 33)),
            "www-data has the user id 33, and those below 1000 have no sessions (auth-minimum-user-id)"
        );
        let guest = Account { shell: "/usr/sbin/nologin".into(), ..account("guest", 1001) };
        assert_eq!(
            refused(&admission, &guest),
            "guest may not log in on this node: the account's shell is /usr/sbin/nologin"
        );
    }

    #[test]
    fn a_configured_minimum_holds_for_everybody() {
        let admission = Admission { own: account("root", 0), minimum_uid: Some(500) };
        assert_eq!(admission.check(&account("ada", 500)), Ok(()));
        assert!(refused(&admission, &account("root", 0)).starts_with("root has the user id 0"));
    }

    #[test]
    fn any_other_daemon_admits_its_own_user_only() {
        let admission = Admission { own: account("ada", 998), minimum_uid: None };
        assert_eq!(admission.check(&account("ada", 998)), Ok(()));
        assert_eq!(
            refused(&admission, &account("bob", 1001)),
            "this node runs sessions of ada only, whom its daemon runs as, not of bob: that takes a daemon of root's"
        );
        assert!(refused(&admission, &account("root", 0)).contains("not of root"));
    }
}
