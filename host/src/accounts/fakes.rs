//! Accounts for the tests of every room.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Account, Accounts, AccountsError, Group};

/// Accounts by name, each with its groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeAccounts {
    named: BTreeMap<String, (Account, Vec<Group>)>,
    everybody: bool,
}

impl FakeAccounts {
    /// Adds an account with a group of its own and these beside it.
    pub(crate) fn with(mut self, name: &str, uid: u32, groups: &[&str]) -> Self {
        let account = account(name, uid);
        let named = |(gid, name): (u32, &str)| Group { gid, name: Some(name.to_owned()) };
        let groups = std::iter::once((uid, name)).chain((60_000..).zip(groups.iter().copied())).map(named).collect();
        self.named.insert(name.to_owned(), (account, groups));
        self
    }

    /// Lets an account not log in.
    pub(crate) fn without_shell(mut self, name: &str) -> Self {
        if let Some((account, _)) = self.named.get_mut(name) {
            account.shell = "/usr/sbin/nologin".into();
        }
        self
    }

    /// Whatever name is asked for, there is an account.
    pub(crate) fn everybody() -> Self {
        Self { everybody: true, ..Self::default() }
    }
}

/// An account that is like its name.
pub(crate) fn account(name: &str, uid: u32) -> Account {
    let home = format!("/home/{name}").into();
    Account { name: name.to_owned(), uid, gid: uid, home, shell: "/bin/sh".into() }
}

#[async_trait]
impl Accounts for FakeAccounts {
    async fn find(&self, name: &str) -> Result<Option<Account>, AccountsError> {
        let named = self.named.get(name).map(|(account, _)| account.clone());
        let uid = || 2000 + name.bytes().map(u32::from).sum::<u32>();
        Ok(named.or_else(|| self.everybody.then(|| account(name, uid()))))
    }

    async fn find_uid(&self, uid: u32) -> Result<Option<Account>, AccountsError> {
        Ok(self.named.values().map(|(account, _)| account).find(|account| account.uid == uid).cloned())
    }

    async fn memberships(&self, account: &Account) -> Result<Vec<Group>, AccountsError> {
        Ok(self.named.get(&account.name).map(|(_, groups)| groups.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_has_a_group_of_its_own_and_those_that_were_named() {
        let accounts = FakeAccounts::default().with("ada", 1001, &["staff"]);
        let ada = accounts.find("ada").await.unwrap().unwrap();
        assert_eq!(accounts.find_uid(1001).await.unwrap(), Some(ada.clone()));
        assert_eq!(accounts.groups(&ada).await.unwrap(), ["ada", "staff"]);
        assert_eq!(accounts.find("bob").await.unwrap(), None);
    }
}
