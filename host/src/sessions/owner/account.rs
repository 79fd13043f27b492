//! Whose account a session's program runs under here.

use crate::{
    accounts::{Account, Group},
    domain::Session,
};

use super::Owner;

impl Owner {
    /// The account of a session's user on this machine and the ids of its groups, or why no session of theirs starts here:
    /// in a sentence.
    pub(super) async fn account(&self, session: &Session) -> Result<(Account, Vec<u32>), String> {
        let (user, node) = (&session.user, &self.here.name);
        let found = self.accounts.find(user).await.map_err(|error| format!("on node {node}, {error}"))?;
        let account = found.ok_or_else(|| format!("node {node} has no account {user}"))?;
        self.admission.check(&account).map_err(|refused| format!("on node {node}: {refused}"))?;
        let groups = self.accounts.memberships(&account).await.map_err(|error| format!("on node {node}, {error}"))?;
        let keep = || self.store.keep_uid(user, account.uid);
        let kept = self.persist(session.id, "keeping the user id", keep).await;
        if kept != account.uid {
            return Err(format!(
                "on node {node} the account {user} has the user id {}, and elsewhere in the cluster {kept}; give it the \
                 same on every node, or, where {kept} is of the past, run `evenkeel forget-user-id {user}`",
                account.uid
            ));
        }
        Ok((account, groups.into_iter().map(|Group { gid, .. }| gid).collect()))
    }
}
