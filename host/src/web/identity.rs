//! Who is asking: a signed cookie that is good on every node, or the token of the data directory.
//!
//! Nothing else signs in: no header that a client or a proxy in front could add. The token, and a one-time link, stand for
//! the user that the daemon runs as; the cookie carries the name of whoever has such a link or has given their password
//! (`passwords`), signed with the cluster's key.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::{Clock, Entropy, SignOut};

mod code;
mod cookie;
mod everywhere;
mod extract;
mod origin;
mod oversight;
mod passwords;
mod revoked;
mod throttle;
mod token;

pub use code::{Redemption, SignInCode};
pub use extract::{Administrator, SignedIn};
pub(crate) use extract::{MaybeSignedIn, identify_and_guard, renew};
pub(crate) use origin::same_origin;
pub use oversight::Oversight;
pub(crate) use oversight::Viewer;
pub(crate) use passwords::Declined;
pub use passwords::{PasswordCheck, PasswordParts, Passwords};
pub use token::Token;

use code::Codes;
use cookie::{CookieKey, Pass};
use revoked::Revoked;

/// The cookie's name. The proxy takes every cookie whose name begins so out of what a session sees.
pub use crate::wire::names::COOKIE;

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The canonical name of the Unix user.
    pub user: String,
    /// How they proved it.
    pub means: Means,
}

/// How somebody proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// With the token of this node's data directory: whoever can read that file administers the node.
    Token,
    /// With a cookie that a node of the cluster signed.
    Cookie(Pass),
}

impl Identity {
    /// Whether they may change nodes and see everybody's placements.
    pub fn is_administrator(&self) -> bool {
        self.means == Means::Token
    }
}

/// What a node needs to tell who is asking.
pub struct SignIns {
    key: CookieKey,
    token: Token,
    /// The user that the daemon runs as.
    user: String,
    /// How long a sign-in holds after it was last used.
    timeout: Duration,
    /// Whether browsers may send the cookie over TLS only.
    secure: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    revoked: Mutex<Revoked>,
    /// Grows whenever a sign-in was ended before its time, here or elsewhere.
    ended: watch::Sender<u64>,
    codes: Mutex<Codes>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIns").field("user", &self.user).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl SignIns {
    /// `cookie_key` is the cluster key's derivation for `cookie`, `user` the one the daemon runs as, `timeout` the
    /// configured `auth_timeout`, `secure` whether browsers reach the node over TLS.
    pub fn new(
        cookie_key: [u8; 32],
        token: Token,
        user: String,
        timeout: Duration,
        secure: bool,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            key: CookieKey::new(cookie_key),
            token,
            user,
            timeout,
            secure,
            clock,
            entropy,
            revoked: Mutex::default(),
            ended: watch::Sender::new(0),
            codes: Mutex::default(),
        }
    }

    /// Who sent these headers.
    pub fn identify(&self, headers: &HeaderMap) -> Option<Identity> {
        if self.token.is_borne_by(headers) {
            return Some(Identity { user: self.user.clone(), means: Means::Token });
        }
        let now = self.clock.now();
        let mut found: Option<Pass> = None;
        for value in cookies(headers) {
            let Some(pass) = self.key.open(value, now) else { continue };
            if lock(&self.revoked).contains(&pass) {
                continue;
            }
            // Two sign-ins at once: somebody may have planted one of them, and which of them it was cannot be told.
            if found.as_ref().is_some_and(|other| other.user != pass.user) {
                return None;
            }
            found = Some(pass);
        }
        found.map(|pass| Identity { user: pass.user.clone(), means: Means::Cookie(pass) })
    }

    /// Whether an identity that was found before still holds.
    pub(crate) fn holds(&self, identity: &Identity) -> bool {
        match &identity.means {
            Means::Token => true,
            Means::Cookie(pass) => self.clock.now() < pass.expires && !lock(&self.revoked).contains(pass),
        }
    }

    /// A one-time link's code, good for `validity`.
    pub fn issue_code(&self, validity: Duration) -> SignInCode {
        let code = SignInCode::new(&*self.entropy);
        lock(&self.codes).add(&code, later(self.clock.now(), validity));
        code
    }

    /// What a one-time code that came from `client` is worth. A right one is used up.
    pub(crate) fn redeem(&self, code: &str, client: Option<std::net::IpAddr>) -> Redemption {
        lock(&self.codes).redeem(code, client, self.clock.now())
    }

    /// The user that the daemon runs as.
    pub(crate) fn own_user(&self) -> &str {
        &self.user
    }

    /// The `Set-Cookie` that signs a user in.
    pub(crate) fn sign_in(&self, user: &str) -> HeaderValue {
        let issued = self.clock.now();
        let id = self.entropy.bytes();
        self.set(&Pass { user: user.to_owned(), id, issued, expires: later(issued, self.timeout) })
    }

    /// The `Set-Cookie` that prolongs a sign-in which is used and past half of its time.
    pub(crate) fn renewal(&self, identity: &Identity) -> Option<HeaderValue> {
        let Means::Cookie(pass) = &identity.means else { return None };
        let now = self.clock.now();
        let is_due = later(now, self.timeout / 2) > pass.expires && self.holds(identity);
        is_due.then(|| self.set(&Pass { expires: later(now, self.timeout), ..pass.clone() }))
    }

    /// Ends a sign-in on this node, at once; [`Self::tell`] ends it on the others. Gives the `Set-Cookie` that makes the
    /// browser forget it.
    pub(crate) fn sign_out(&self, identity: Option<&Identity>) -> HeaderValue {
        if let Some(Identity { means: Means::Cookie(pass), .. }) = identity {
            let now = self.clock.now();
            // A copy of the cookie may have been prolonged until just now, and on a node that hears of it later.
            let until = later(later(now, self.timeout), GRACE);
            lock(&self.revoked).add_own(SignOut { sign_in: pass.id, until }, now);
            self.ended.send_modify(|count| *count = count.wrapping_add(1));
        }
        self.set_cookie("", 0)
    }

    /// Ends when the identity's sign-in was ended before its time.
    pub(crate) fn until_ended(self: &Arc<Self>, identity: Identity) -> impl Future<Output = ()> + Send + 'static {
        let (sign_ins, mut ended) = (Arc::clone(self), self.ended.subscribe());
        async move {
            while !sign_ins.is_ended(&identity) {
                if ended.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    fn is_ended(&self, identity: &Identity) -> bool {
        matches!(&identity.means, Means::Cookie(pass) if lock(&self.revoked).contains(pass))
    }

    fn set(&self, pass: &Pass) -> HeaderValue {
        self.set_cookie(&self.key.seal(pass), self.timeout.as_secs())
    }

    fn set_cookie(&self, value: &str, age: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
        // The value is base64 and digits: always a header value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The values of our cookie: a browser sends several where several were set for different paths.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    const MOST: usize = 4;
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
        .take(MOST)
}

/// How much longer a sign-out is remembered than a cookie holds: some nodes hear of it later and prolong a copy meanwhile.
const GRACE: Duration = Duration::from_secs(600);

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
