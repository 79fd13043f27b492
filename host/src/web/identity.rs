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
mod guests;
mod origin;
mod outbox;
mod oversight;
mod passwords;
mod revoked;
mod throttle;
mod token;

pub use code::{Redemption, SignInCode};
pub use extract::{Administrator, SignedIn};
pub(crate) use extract::{MaybeSignedIn, identify_and_guard, renew};
pub use guests::Guests;
use origin::same_origin;
pub use oversight::Oversight;
pub(crate) use oversight::Viewer;
pub(crate) use passwords::Declined;
pub use passwords::{PasswordCheck, PasswordParts, Passwords};
pub use token::Token;

use code::Codes;
use cookie::{CookieKey, Pass};
use outbox::Outbox;
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

/// What the sign-ins of a node are made of.
pub struct SignInParts {
    /// The cluster key's derivation for `cookie`.
    pub cookie_key: [u8; 32],
    /// Those that others sign with while the cluster key is being replaced.
    pub other_cookie_keys: Vec<[u8; 32]>,
    /// What stands for the daemon's user.
    pub token: Token,
    /// Who may stay signed in.
    pub guests: Arc<Guests>,
    /// `auth-timeout-minutes`: how long a sign-in holds after it was last used.
    pub timeout: Duration,
    /// `auth-stay-signed-in-days`: how long it holds however much it is used.
    pub longest: Duration,
    /// Whether browsers may send the cookie over TLS only.
    pub secure: bool,
    /// Whether browsers reach this node by TLS only, so that no page without it is one of this server.
    pub tls: bool,
    /// Where sign-outs are kept that could not be written to the store.
    pub outbox: std::path::PathBuf,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where random numbers come from.
    pub entropy: Arc<dyn Entropy>,
}

/// What a node needs to tell who is asking.
pub struct SignIns {
    key: CookieKey,
    token: Token,
    guests: Arc<Guests>,
    timeout: Duration,
    longest: Duration,
    secure: bool,
    tls: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    revoked: Mutex<Revoked>,
    outbox: Outbox,
    /// When the store last told what was ended elsewhere.
    heard: Mutex<Option<Timestamp>>,
    /// Grows whenever a sign-in was ended before its time, here or elsewhere.
    ended: watch::Sender<u64>,
    codes: Mutex<Codes>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIns").field("user", &self.user()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl SignIns {
    /// The sign-ins that these parts make.
    pub fn new(parts: SignInParts) -> Self {
        Self {
            key: CookieKey::new(parts.cookie_key).beside(parts.other_cookie_keys),
            token: parts.token,
            guests: parts.guests,
            timeout: parts.timeout,
            longest: parts.longest,
            secure: parts.secure || parts.tls,
            tls: parts.tls,
            clock: parts.clock,
            entropy: parts.entropy,
            revoked: Mutex::default(),
            outbox: Outbox::new(parts.outbox),
            heard: Mutex::default(),
            ended: watch::Sender::new(0),
            codes: Mutex::default(),
        }
    }

    /// The user that the daemon runs as.
    fn user(&self) -> &str {
        &self.guests.admission.own.name
    }

    /// Whether a page of this very server made the request.
    pub(crate) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        same_origin(headers, self.tls)
    }

    /// Who sent these headers.
    pub fn identify(&self, headers: &HeaderMap) -> Option<Identity> {
        if self.token.is_borne_by(headers) {
            return Some(Identity { user: self.user().to_owned(), means: Means::Token });
        }
        let now = self.clock.now();
        let mut found: Option<Pass> = None;
        for pass in self.passes(headers) {
            if !self.is_good(&pass, now) {
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

    /// What the cookies among these headers prove, whether or not they were ended since.
    fn passes(&self, headers: &HeaderMap) -> impl Iterator<Item = Pass> {
        let now = self.clock.now();
        cookies(headers).filter_map(move |value| self.key.open(value, now))
    }

    fn is_good(&self, pass: &Pass, now: Timestamp) -> bool {
        now < pass.expires && now < later(pass.issued, self.longest) && !lock(&self.revoked).contains(pass)
    }

    /// Whether an identity that was found before still holds.
    pub(crate) fn holds(&self, identity: &Identity) -> bool {
        match &identity.means {
            Means::Token => true,
            Means::Cookie(pass) => self.is_good(pass, self.clock.now()),
        }
    }

    /// A one-time link's code that signs the daemon's user in, good for `validity`.
    pub fn issue_code(&self, validity: Duration) -> SignInCode {
        self.issue_code_for(self.user().to_owned(), validity)
    }

    /// The same for any user, under the canonical name.
    pub(crate) fn issue_code_for(&self, user: String, validity: Duration) -> SignInCode {
        let code = SignInCode::new(&*self.entropy);
        lock(&self.codes).add(&code, user, later(self.clock.now(), validity));
        code
    }

    /// What a one-time code that came from `client` is worth. A right one is used up.
    pub(crate) fn redeem(&self, code: &str, client: Option<std::net::IpAddr>) -> Redemption {
        lock(&self.codes).redeem(code, client, self.clock.now())
    }

    /// The `Set-Cookie` that signs a user in.
    pub(crate) fn sign_in(&self, user: &str) -> HeaderValue {
        let issued = self.clock.now();
        let id = self.entropy.bytes();
        self.set(&Pass { user: user.to_owned(), id, issued, expires: later(issued, self.timeout.min(self.longest)) })
    }

    /// Whoever is found among headers, with the `Set-Cookie` that prolongs a sign-in which is used and past half of its time.
    /// Where its user may not be signed in any more, it is ended instead and nobody is found.
    pub(crate) async fn renewed(&self, identity: Option<Identity>) -> (Option<Identity>, Option<HeaderValue>) {
        let Some(Identity { means: Means::Cookie(pass), .. }) = &identity else { return (identity, None) };
        let now = self.clock.now();
        let expires = later(now, self.timeout).min(later(pass.issued, self.longest));
        let is_due = later(now, self.timeout / 2) > pass.expires && expires > pass.expires;
        if !is_due || !self.has_heard(now) {
            return (identity, None);
        }
        if let Some(why) = self.guests.unwelcome(&pass.user).await {
            tracing::warn!(user = pass.user, "no longer signed in: {why}");
            self.end(pass, now);
            return (None, None);
        }
        let renewal = self.is_good(pass, now).then(|| self.set(&Pass { expires, ..pass.clone() }));
        (identity, renewal)
    }

    /// Whether what was ended elsewhere is known well enough to prolong anything: a sign-out is forgotten when every copy of
    /// its cookie is over, so none may be prolonged by a node that has not heard of it by then.
    fn has_heard(&self, now: Timestamp) -> bool {
        lock(&self.heard).is_some_and(|heard| now < later(heard, GRACE / 2))
    }

    /// Ends the sign-ins of a browser on this node, at once; [`Self::tell`] ends them on the others. Gives the `Set-Cookie`
    /// that makes the browser forget them.
    pub(crate) fn sign_out(&self, headers: &HeaderMap) -> HeaderValue {
        for pass in self.passes(headers) {
            self.end(&pass, self.clock.now());
        }
        self.set_cookie("", 0)
    }

    fn end(&self, pass: &Pass, now: Timestamp) {
        // A copy of the cookie may have been prolonged until just now, and on a node that hears of it later.
        let until = later(later(now, self.timeout), GRACE);
        lock(&self.revoked).add_own(SignOut { sign_in: pass.id, until }, now);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
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
        self.set_cookie(&self.key.seal(pass), self.timeout.min(self.longest).as_secs())
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
