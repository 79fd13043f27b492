//! Whether a user's password is right, and whether their account may sign in: asked of PAM, in a child process.
//!
//! PAM runs modules that an administrator has chosen: they may hang on a directory that does not answer, crash, leak, or
//! start programs. So each question goes to a child of its own (`inside`: this program in the mode [`CHECKER`]), which is
//! killed with all that its modules have started when it has answered or its time is over (`child`). The system's PAM library is opened
//! there and nowhere else, when it is needed (`library`): this program starts where there is none.

use std::{ffi::OsString, fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

mod child;
mod conversation;
mod inside;
mod library;
mod password;
pub mod service;
#[cfg(test)]
mod tests;

pub use inside::main;
pub use password::Password;

/// The first argument of this program where it is to check a password.
pub const CHECKER: &str = "check-password";

/// The longest name of a user, bytes.
pub const LONGEST_USER: usize = 256;

/// How many are checked at once.
const AT_ONCE: usize = 16;

/// How long a check waits for others to be done.
const TURN: Duration = Duration::from_secs(5);

/// What PAM says of a user who gave the right password, or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// They are who they say, and may come in.
    Accepted {
        /// Their name as PAM has it in the end: a module may have changed it.
        user: String,
    },
    /// There is no such user, or the password is another.
    Refused,
    /// They are who they say, and may not come in.
    Closed {
        /// Why.
        cause: Cause,
        /// What the modules said to the user about it, each on one line; often nothing.
        texts: Vec<String>,
    },
}

/// Why somebody may not come in whose password is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The account has expired.
    AccountExpired,
    /// The password has expired and must be changed first.
    PasswordExpired,
    /// The service does not let them in: now, from there, or ever.
    Denied,
}

/// Why a password could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PamError {
    /// So many are being checked that one more would have to wait too long.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The service took too long.
    #[error("the PAM service {service} gave no answer within {} s; auth-pam-timeout says how long it may take", .limit.as_secs_f64())]
    TimedOut {
        /// Which.
        service: String,
        /// How long it had.
        limit: Duration,
    },
    /// PAM, or one of its modules, failed.
    #[error("the PAM service {service}: {problem}")]
    Failed {
        /// Which.
        service: String,
        /// What was the matter.
        problem: String,
    },
}

/// Checks passwords by one PAM service.
#[derive(Clone)]
pub struct Pam {
    /// What is run as the child.
    program: PathBuf,
    arguments: Vec<OsString>,
    service: String,
    limit: Duration,
    slots: Arc<Semaphore>,
    turn: Duration,
}

impl fmt::Debug for Pam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pam").field("service", &self.service).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Pam {
    /// Checks by `service`, a file in `/etc/pam.d`, which may take `limit`; `program` is this program's own executable.
    pub fn new(program: impl Into<PathBuf>, service: &str, limit: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: vec![CHECKER.into()],
            service: service.to_owned(),
            limit,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            turn: TURN,
        }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Whether `password` is `user`'s, and whether they may come in from `client`. A name that no account can have is
    /// refused like one that nobody has. Neither this program's memory nor the child's command line, environment or log
    /// keeps the password.
    ///
    /// # Errors
    /// Where PAM did not come to an answer.
    pub async fn check(&self, user: &str, password: Password, client: Option<IpAddr>) -> Result<Verdict, PamError> {
        if !is_name(user) || !password.is_usable() {
            return Ok(Verdict::Refused);
        }
        child::check(self, user, password, client).await
    }
}

/// Whether an account could have this name: none that a module could take for an option, a path or a field of a file.
fn is_name(user: &str) -> bool {
    let is_odd = |c: char| c.is_control() || matches!(c, ':' | '/');
    !user.is_empty() && user.len() <= LONGEST_USER && !user.starts_with('-') && !user.contains(is_odd)
}
