//! The identity that a node shows, and the one that takes its place.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::Identity;

/// A connection that has come to TLS.
pub type Secured<S> = tokio_rustls::server::TlsStream<S>;

/// What a node shows to whoever connects.
#[derive(Debug)]
pub struct OwnTls {
    shown: watch::Sender<Identity>,
    next: Mutex<Option<Identity>>,
}

impl OwnTls {
    /// Shows an identity from now on.
    pub fn new(identity: Identity) -> Self {
        Self { shown: watch::Sender::new(identity), next: Mutex::default() }
    }

    /// Shakes hands. The caller bounds how long that may take.
    ///
    /// # Errors
    /// What the other side sent, or that it went away.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = Arc::clone(&self.shown.borrow().server);
        TlsAcceptor::from(server).accept(stream).await
    }

    /// The certificate that is shown.
    pub fn fingerprint(&self) -> String {
        self.shown.borrow().fingerprint.clone()
    }

    /// Changes with what is shown.
    pub fn watch(&self) -> watch::Receiver<Identity> {
        self.shown.subscribe()
    }

    /// Has another identity wait until the other nodes can know it. True where it is not the one that is shown.
    pub fn prepare(&self, identity: Identity) -> bool {
        let is_other = identity.fingerprint != self.shown.borrow().fingerprint;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if is_other {
            *next = Some(identity);
        } else {
            // The same certificate, perhaps for other versions of the protocol: nobody has to know that beforehand.
            *next = None;
            self.shown.send_replace(identity);
        }
        is_other
    }

    /// The certificate that waits, if one does.
    pub fn next(&self) -> Option<String> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.as_ref().map(|identity| identity.fingerprint.clone())
    }

    /// Shows the one that waits, now that the others can know it by `fingerprint`.
    pub fn turn_to(&self, fingerprint: &str) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = next.take_if(|identity| identity.fingerprint == fingerprint) {
            tracing::info!(certificate = identity.fingerprint, "the node's port shows another certificate");
            self.shown.send_replace(identity);
        }
    }
}
