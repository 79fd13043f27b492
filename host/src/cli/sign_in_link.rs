//! `sign-in-link`.

use http::Method;
use serde::Deserialize;

use super::{client::Daemon, output};

/// Prints a link that signs a browser in, once.
pub(super) async fn print(daemon: &Daemon) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Link {
        link: String,
    }
    let Link { link } = serde_json::from_slice(&daemon.ask(Method::POST, "/api/v1/sign-in-codes").await?)?;
    output::line(link);
    Ok(())
}
