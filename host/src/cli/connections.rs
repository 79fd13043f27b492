//! How many connections this machine takes, and how much of them one user may hold.

use super::system;
use crate::web::server::Limits;

/// Files that the store, the sessions and whoever has to look after them need.
const KEPT_FREE: usize = 128;

/// What any user may have under way at once, however few connections there are: more than a busy person's pages.
const LEAST_SHARE: usize = 128;

/// What connections may cost: so many at most that, each with a second one to its session, they leave files enough.
pub(super) fn limits() -> Limits {
    let limits = Limits::default();
    let files = system::most_open_files();
    let connections = (files.saturating_sub(KEPT_FREE) / 2).clamp(16, limits.connections);
    if connections < limits.connections {
        tracing::warn!(
            files,
            connections,
            "the limit of open files (LimitNOFILE) allows that many connections at once"
        );
    }
    Limits { connections, ..limits }
}

/// How many of a user's requests and web sockets may be under way: three such users leave room for the others.
pub(super) fn of_user(limits: &Limits) -> usize {
    (limits.connections / 4).max(LEAST_SHARE)
}
