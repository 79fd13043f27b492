//! `forget-user-id`.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{client::Daemon, output};

/// Forgets a user's id.
pub(super) async fn forget(daemon: &Daemon, user: &str) -> anyhow::Result<()> {
    let target = format!("/api/v1/user-ids/{}", utf8_percent_encode(user, NON_ALPHANUMERIC));
    daemon.ask(Method::DELETE, &target).await?;
    output::line(format_args!("The next session of {user} says which user id it is."));
    Ok(())
}
