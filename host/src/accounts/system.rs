//! Accounts by the system's name service, off the async threads.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{
    Account, Accounts, AccountsError, Group,
    asked::{Answer, Asked},
    lookup,
};
use crate::aside::Lane;

/// How long an answer may take. A directory that answers a first question about a user asks others itself.
const LIMIT: Duration = Duration::from_secs(10);
/// How many questions are put at once; those that hang take no more threads.
const THREADS: usize = 16;
/// How long what was found is good: enough for all that is asked for one request, or for many at once. Whoever wants more
/// has it of the name service's own cache.
const FOUND: Duration = Duration::from_secs(10);
/// The same where there is no such account: one that has just been made is found.
const NOT_FOUND: Duration = Duration::from_secs(1);

/// The accounts of this machine.
pub struct SystemAccounts {
    names: Asked<String, Option<Account>>,
    uids: Asked<u32, Option<Account>>,
    groups: Asked<(String, u32), Vec<Group>>,
}

impl Default for SystemAccounts {
    fn default() -> Self {
        let lane = Lane::new("evenkeel-accounts", THREADS);
        Self {
            names: Asked::new(lane.clone(), LIMIT),
            uids: Asked::new(lane.clone(), LIMIT),
            groups: Asked::new(lane, LIMIT),
        }
    }
}

impl fmt::Debug for SystemAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemAccounts").finish_non_exhaustive()
    }
}

#[async_trait]
impl Accounts for SystemAccounts {
    async fn find(&self, name: &str) -> Result<Option<Account>, AccountsError> {
        let what = || format!("the account {}", name.escape_debug());
        self.names.get(&name.to_owned(), what, |name| answer(lookup::by_name(name))).await
    }

    async fn find_uid(&self, uid: u32) -> Result<Option<Account>, AccountsError> {
        let what = || format!("the account with user id {uid}");
        self.uids.get(&uid, what, |uid| answer(lookup::by_uid(*uid))).await
    }

    async fn memberships(&self, account: &Account) -> Result<Vec<Group>, AccountsError> {
        let what = || format!("the groups of {}", account.name);
        let key = (account.name.clone(), account.gid);
        let ask = |(name, gid): &(String, u32)| match lookup::memberships(name, *gid) {
            Ok(groups) => Ok((groups, FOUND)),
            Err(error) => Err(error.desc().to_owned()),
        };
        self.groups.get(&key, what, ask).await
    }
}

fn answer(found: nix::Result<Option<Account>>) -> Answer<Option<Account>> {
    match found {
        Ok(Some(account)) => Ok((Some(account), FOUND)),
        Ok(None) => Ok((None, NOT_FOUND)),
        Err(error) => Err(error.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_and_their_groups_are_those_of_the_system() {
        let accounts = SystemAccounts::default();
        let root = accounts.find("root").await.unwrap().expect("every system has it");
        assert_eq!(root.uid, 0);
        assert_eq!(accounts.find_uid(0).await.unwrap(), Some(root.clone()));
        assert_eq!(accounts.groups(&root).await.unwrap()[0], "root");
        assert_eq!(accounts.find("no-such-account").await.unwrap(), None);
    }
}
