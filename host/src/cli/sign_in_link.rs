//! `sign-in-link`.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{client::Daemon, output};

/// Prints a link that signs a browser in, once: as `user`, or as the user that the daemon runs as.
pub(super) async fn print(daemon: &Daemon, user: Option<&str>) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Link {
        link: String,
    }
    let target = match user {
        Some(user) => format!("/api/v1/sign-in-codes?user={}", utf8_percent_encode(user, NON_ALPHANUMERIC)),
        None => "/api/v1/sign-in-codes".to_owned(),
    };
    let Link { link } = serde_json::from_slice(&daemon.ask(Method::POST, &target).await?)?;
    output::line(link);
    Ok(())
}
