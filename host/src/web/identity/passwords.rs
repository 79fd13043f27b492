//! Signing in by user name and password: who gets in, who does not, and what each is told.
//!
//! Nobody learns from an answer, or from the time it takes, whether a name is a user's: a refusal is told at a whole number
//! of paces after it was asked for. Whoever has proved who they are may be told why they do not get in.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};

use super::{
    Guests,
    guests::Unwelcome,
    lock,
    throttle::{Throttle, network},
};
use crate::{
    accounts::{Account, AccountsError},
    domain::{Clock, text::clean},
    pam::{Cause, Pam, PamError, Password, Verdict},
    proxy::throttle::Throttle as Pause,
};

/// What knows passwords.
#[async_trait]
pub trait PasswordCheck: Send + Sync + fmt::Debug {
    /// [`Pam::check`].
    async fn check(&self, user: &str, password: Password, client: Option<IpAddr>) -> Result<Verdict, PamError>;
}

#[async_trait]
impl PasswordCheck for Pam {
    async fn check(&self, user: &str, password: Password, client: Option<IpAddr>) -> Result<Verdict, PamError> {
        self.check(user, password, client).await
    }
}

/// What the sign-in by password is made of.
#[derive(Debug)]
pub struct PasswordParts {
    /// What knows passwords: a [`Pam`]; else why there is nothing that does.
    pub check: Result<Arc<dyn PasswordCheck>, String>,
    /// Who may sign in.
    pub guests: Arc<Guests>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// The door for those who have a password.
pub struct Passwords {
    parts: PasswordParts,
    attempts: Mutex<Attempts>,
    pace: Duration,
    throttled: Pause,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

/// Why somebody does not get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// Password sign-in is not to be had here.
    Off,
    /// The name or the password is wrong; which of them, nobody says.
    Wrong,
    /// The daemon is not root, and this is not its own user.
    OnlyOwn(String),
    /// They are who they say, and may not come in: a sentence that says why.
    Closed(String),
    /// So many have been wrong that the next must wait.
    Throttled(Duration),
    /// It could not be found out; trying again may help.
    Unknown,
}

/// Refusals are told at whole numbers of this after they were asked for.
const PACE: Duration = Duration::from_secs(2);

impl Passwords {
    /// The door that these parts make.
    pub fn new(parts: PasswordParts) -> Self {
        Self { parts, attempts: Mutex::default(), pace: PACE, throttled: Pause::default() }
    }

    /// Tells refusals at another pace.
    #[cfg(test)]
    pub(crate) fn at_pace(self, pace: Duration) -> Self {
        Self { pace, ..self }
    }

    /// Whether there is a form to be shown.
    pub(crate) fn is_on(&self) -> bool {
        self.parts.check.is_ok()
    }

    /// The only user who can sign in, where the daemon is not root.
    pub(crate) fn only(&self) -> Option<&str> {
        let admission = &self.parts.guests.admission;
        (!admission.is_root()).then_some(admission.own.name.as_str())
    }

    /// The account that a name and a password let in. What becomes of each attempt is logged here.
    pub(crate) async fn enter(
        &self,
        name: &str,
        password: Password,
        client: Option<IpAddr>,
    ) -> Result<Account, Declined> {
        let begun = Instant::now();
        let entered = self.attempt(name, password, client).await;
        // Fit for a log, and bounded: anybody can send anything.
        let user = clean(name, 64);
        let client = client.map(tracing::field::display);
        match &entered {
            Ok(account) => tracing::info!(user = account.name, client, "signed in by password"),
            Err(Declined::Wrong | Declined::OnlyOwn(_)) => {
                tracing::warn!(user, client, "sign-in refused: no such user, or another password");
            }
            Err(Declined::Closed(why)) => tracing::warn!(user, client, "sign-in refused: {why}"),
            Err(Declined::Throttled(_)) if self.throttled.passes() => {
                tracing::warn!(user, client, "sign-in refused: too many passwords were wrong");
            }
            Err(Declined::Off | Declined::Throttled(_) | Declined::Unknown) => {}
        }
        if let Err(Declined::Wrong | Declined::OnlyOwn(_) | Declined::Unknown) = entered {
            sleep_until(begun + paced(begun.elapsed(), self.pace)).await;
        }
        entered
    }

    async fn attempt(&self, name: &str, password: Password, client: Option<IpAddr>) -> Result<Account, Declined> {
        let Ok(check) = &self.parts.check else { return Err(Declined::Off) };
        let now = self.parts.clock.now();
        let of = (key(name), network(client));
        // Counted before it is known to be wrong: else many at once would all pass.
        lock(&self.attempts).begin(&of, now).map_err(Declined::Throttled)?;
        self.is_own(name).await?;
        let outcome = check.check(name, password, client).await;
        match &outcome {
            Ok(Verdict::Refused) => {}
            Ok(Verdict::Accepted { .. } | Verdict::Closed { .. }) => lock(&self.attempts).was_right(&of),
            Err(_) => lock(&self.attempts).was_broken(&of),
        }
        match outcome {
            Ok(Verdict::Accepted { user }) => self.admit(&user).await,
            Ok(Verdict::Refused) => Err(Declined::Wrong),
            Ok(Verdict::Closed { cause, texts }) => Err(Declined::Closed(sentence(cause, &texts))),
            Err(error) => {
                tracing::error!(%error, "a password could not be checked");
                Err(Declined::Unknown)
            }
        }
    }

    /// PAM checks every user's password for root, and for others their own alone. This is told of every name but that one,
    /// whether it is a user's or not.
    async fn is_own(&self, name: &str) -> Result<(), Declined> {
        let admission = &self.parts.guests.admission;
        let own = &admission.own;
        if admission.is_root() || name == own.name {
            return Ok(());
        }
        match self.parts.guests.accounts.find(name).await.map_err(|error| unknown(&error))? {
            Some(account) if account.uid == own.uid => Ok(()),
            _ => Err(Declined::OnlyOwn(own.name.clone())),
        }
    }

    /// The account of somebody who is who they say, if it may come in.
    async fn admit(&self, user: &str) -> Result<Account, Declined> {
        let guests = &self.parts.guests;
        let account =
            guests.admit(user).await.map_err(|error| unknown(&error))?.map_err(|unwelcome| match unwelcome {
                Unwelcome::OnlyOwn(own) => Declined::OnlyOwn(own),
                Unwelcome::Because(why) => Declined::Closed(why),
            })?;
        // Guessing passwords at a page must not be a way to the whole machine.
        if account.uid == 0 && guests.admission.minimum_uid != Some(0) {
            let why = "root does not sign in by password here, unless auth-minimum-user-id=0 says so; \
                       `evenkeel sign-in-link` makes a link";
            return Err(Declined::Closed(why.to_owned()));
        }
        Ok(account)
    }
}

fn unknown(error: &AccountsError) -> Declined {
    tracing::error!(%error, "a sign-in could not be decided");
    Declined::Unknown
}

fn sentence(cause: Cause, texts: &[String]) -> String {
    let sentence = match cause {
        Cause::AccountExpired => "the account has expired; ask its administrator",
        Cause::PasswordExpired => {
            "the password has expired; sign in to a machine another way, by SSH for example, change it, and come back"
        }
        Cause::Denied => "the account may not sign in here now",
    };
    match texts {
        [] => sentence.to_owned(),
        texts => format!("{sentence} ({})", texts.join(" ")),
    }
}

/// When a refusal is told: at the end of the pace that has begun.
fn paced(elapsed: Duration, pace: Duration) -> Duration {
    let paces = elapsed.as_nanos() / pace.as_nanos().max(1) + 1;
    pace.saturating_mul(u32::try_from(paces).unwrap_or(u32::MAX))
}

/// A name as attempts are counted by: some directories do not tell capitals from small letters.
fn key(name: &str) -> NameKey {
    Sha256::digest(name.to_lowercase().as_bytes()).into()
}

type NameKey = [u8; 32];

/// Attempts by whom they are for, and by where they come from.
struct Attempts {
    names: Throttle<NameKey>,
    clients: Throttle<Option<IpAddr>>,
    /// Those that were right as well: each makes a sign-in that may have to be remembered.
    entries: Throttle<NameKey>,
}

impl Default for Attempts {
    fn default() -> Self {
        // One address may be that of a whole office, or of a proxy in front.
        Self { names: Throttle::new(10), clients: Throttle::new(60), entries: Throttle::new(30) }
    }
}

impl Attempts {
    fn begin(&mut self, (name, client): &(NameKey, Option<IpAddr>), now: jiff::Timestamp) -> Result<(), Duration> {
        let waits = [self.names.wait(name, now), self.clients.wait(client, now), self.entries.wait(name, now)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        self.names.note(*name, now);
        self.clients.note(*client, now);
        self.entries.note(*name, now);
        Ok(())
    }

    /// An outage keeps no user out, but no address has checks begun without end.
    fn was_broken(&mut self, (name, _): &(NameKey, Option<IpAddr>)) {
        self.names.take_back(name);
    }

    fn was_right(&mut self, (name, client): &(NameKey, Option<IpAddr>)) {
        self.names.take_back(name);
        self.clients.take_back(client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_at_the_end_of_the_pace_that_has_begun() {
        let seconds = Duration::from_secs_f64;
        for (elapsed, told) in [(0.0, 2.0), (0.001, 2.0), (1.999, 2.0), (2.0, 4.0), (3.1, 4.0)] {
            assert_eq!(paced(seconds(elapsed), PACE), seconds(told), "{elapsed}");
        }
    }
}
