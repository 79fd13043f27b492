//! Who may see everybody's sessions and placements: the holder of the token, and members of `admin-group`. To see is not to
//! enter: a session's traffic and its log stay its owner's. Its life does too, but that the holder of the token, who can
//! empty a node, can have it suspended or ended.

use std::{fmt, sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::time::timeout;

use super::{Identity, SignedIn};
use crate::{
    accounts::{Accounts, AccountsError},
    proxy::throttle::Throttle,
    web::{App, Problem},
};

/// How long it may take to find out: without an answer, whoever asks sees their own.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knows who may see everybody's.
pub struct Oversight {
    accounts: Arc<dyn Accounts>,
    groups: Vec<String>,
    unknown: Throttle,
}

impl fmt::Debug for Oversight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oversight").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Oversight {
    /// `groups` is `admin-group`.
    pub fn new(accounts: Arc<dyn Accounts>, groups: Vec<String>) -> Self {
        Self { accounts, groups, unknown: Throttle::default() }
    }

    async fn sees_all(&self, identity: &Identity) -> bool {
        if identity.is_administrator() || self.groups.is_empty() {
            return identity.is_administrator();
        }
        let told = match timeout(PATIENCE, self.is_member(&identity.user)).await {
            Ok(Ok(is_member)) => return is_member,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the name service does not answer in time".to_owned(),
        };
        if self.unknown.passes() {
            tracing::warn!(user = identity.user, "whether somebody is in admin-group is not known: {told}");
        }
        false
    }

    async fn is_member(&self, user: &str) -> Result<bool, AccountsError> {
        let Some(account) = self.accounts.find(user).await? else { return Ok(false) };
        let found = self.accounts.groups(&account).await?;
        Ok(self.groups.iter().any(|group| found.contains(group)))
    }
}

/// Whoever is signed in, and whether they may see everybody's; nobody else gets in.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) identity: Identity,
    pub(crate) sees_all: bool,
}

impl Viewer {
    /// Whether what belongs to `user` is theirs to see.
    pub(crate) fn sees(&self, user: &str) -> bool {
        self.sees_all || self.identity.user == user
    }
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let SignedIn(identity) = SignedIn::from_request_parts(parts, app).await?;
        let sees_all = app.oversight.sees_all(&identity).await;
        Ok(Self { identity, sees_all })
    }
}

#[cfg(test)]
mod tests;
