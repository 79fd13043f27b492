//! The ports that the daemon serves: bound by itself, or held for it by systemd.
//!
//! A port that systemd holds (`evenkeel.socket`) is never anybody else's: while a daemon is away, connections wait for the
//! next one.

use std::net::{SocketAddr, TcpListener as Held};

use anyhow::Context as _;
use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::TcpListener;

use crate::config::Config;

/// The ports.
#[derive(Debug)]
pub(super) struct Ports {
    /// Where everything is served.
    pub(super) own: TcpListener,
    /// The usual port of HTTP beside the usual one of TLS, for browsers that are to be sent there. Nothing depends on it.
    pub(super) beside: Option<TcpListener>,
}

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

impl Ports {
    /// Takes those that are held, and binds what is missing.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let mut held = held()?;
        let own = match taken(&mut held, config.www_port)? {
            Some(own) => own,
            None => bind(SocketAddr::new(config.www_address, config.www_port)).await?,
        };
        let wants_beside = config.tls.as_ref().is_some_and(|tls| tls.redirect_http)
            && own.local_addr().is_ok_and(|bound| bound.port() == HTTPS);
        let beside = match wants_beside {
            true => beside(config, &mut held).await,
            false => None,
        };
        Ok(Self { own, beside })
    }
}

/// What systemd holds for this process, each with its address.
fn held() -> anyhow::Result<Vec<(SocketAddr, Held)>> {
    let mut sockets = ListenFd::from_env();
    let mut held = Vec::new();
    for index in 0..sockets.len() {
        let listener =
            sockets.take_tcp_listener(index).context("a socket that systemd holds takes no TCP connections")?;
        let Some(listener) = listener else { continue };
        // Or every program that is started could accept what comes there.
        fcntl_setfd(&listener, FdFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        held.push((listener.local_addr()?, listener));
    }
    Ok(held)
}

/// The one at this port, else the only one that there is: then its unit says where that is.
fn taken(held: &mut Vec<(SocketAddr, Held)>, port: u16) -> anyhow::Result<Option<TcpListener>> {
    let at = held.iter().position(|(address, _)| address.port() == port).or((held.len() == 1).then_some(0));
    match at {
        Some(at) => Ok(Some(TcpListener::from_std(held.swap_remove(at).1)?)),
        None if held.is_empty() => Ok(None),
        None => {
            let found: Vec<_> = held.iter().map(|(address, _)| address.to_string()).collect();
            anyhow::bail!(
                "systemd holds {}, and www-port is {port}: ListenStream= of evenkeel.socket wants it",
                found.join(", ")
            )
        }
    }
}

async fn beside(config: &Config, held: &mut Vec<(SocketAddr, Held)>) -> Option<TcpListener> {
    if let Ok(Some(listener)) = taken(held, HTTP) {
        return Some(listener);
    }
    let address = SocketAddr::new(config.www_address, HTTP);
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "cannot listen on {address}: browsers that come there are not sent on to https://; \
                 ssl-redirect-http=0 goes without");
            None
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another program there? Give --www-port or --www-address")
    })
}
