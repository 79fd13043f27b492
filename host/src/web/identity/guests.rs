//! Who may sign in, as far as their account decides it: asked when they come, and again while they stay.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    accounts::{Account, Accounts, AccountsError, Admission, Refused},
    domain::text::clean,
};

/// Who may sign in.
#[derive(Debug)]
pub struct Guests {
    /// The accounts of this machine.
    pub accounts: Arc<dyn Accounts>,
    /// Whose sessions this node runs.
    pub admission: Admission,
    /// `auth-required-user-group`: only members of one of these; everybody where there is none.
    pub groups: Vec<String>,
}

/// Why somebody may not sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// The daemon is not root, and this is not its own user, which is this one.
    OnlyOwn(String),
    /// A sentence that says why.
    Because(String),
}

/// How long a request may wait for what an account says now.
const PATIENCE: Duration = Duration::from_secs(2);

impl Guests {
    /// The account of a user that may sign in.
    pub(super) async fn admit(&self, user: &str) -> Result<Result<Account, Unwelcome>, AccountsError> {
        let Some(account) = self.accounts.find(user).await? else {
            return Ok(Err(Unwelcome::Because(format!("{} has no account on this machine", clean(user, 64)))));
        };
        if let Err(refused) = self.admission.check(&account) {
            return Ok(Err(match refused {
                Refused::NotOwn { own, .. } => Unwelcome::OnlyOwn(own),
                refused => Unwelcome::Because(refused.to_string()),
            }));
        }
        if !self.groups.is_empty() {
            let found = self.accounts.groups(&account).await?;
            if !self.groups.iter().any(|group| found.contains(group)) {
                let groups = self.groups.join(", ");
                let why = format!("{} is in no group that may sign in ({groups})", account.name);
                return Ok(Err(Unwelcome::Because(why)));
            }
        }
        Ok(Ok(account))
    }

    /// Why somebody who is signed in may not be so any longer. An account that cannot be looked up now may stay.
    pub(super) async fn unwelcome(&self, user: &str) -> Option<String> {
        // Whoever has the machine's root, or started the daemon, needs no group to come in by a link.
        if user == self.admission.own.name {
            return None;
        }
        match timeout(PATIENCE, self.admit(user)).await {
            Ok(Ok(Err(Unwelcome::Because(why)))) => Some(why),
            Ok(Ok(Err(Unwelcome::OnlyOwn(own)))) => Some(format!("this node runs sessions of {own} only")),
            Ok(Ok(Ok(_)) | Err(_)) | Err(_) => None,
        }
    }
}
