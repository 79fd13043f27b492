//! Another certificate for the node's port: shown once the other nodes can know it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::wire::tls::OwnTls;

/// How long a certificate is in the registry before it is shown: nodes read there each second where the others are.
pub(super) const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// The certificate of the port, and where it stands between one and the next.
#[derive(Debug)]
pub(super) struct Certificate {
    tls: Arc<OwnTls>,
    pub(super) known_after: Duration,
    /// Since when the registry has the one that waits.
    told: Option<(String, Instant)>,
}

impl Certificate {
    pub(super) fn new(tls: Arc<OwnTls>, known_after: Duration) -> Self {
        Self { tls, known_after, told: None }
    }

    /// What the registry should have now; a certificate whose time has come is shown.
    pub(super) fn wanted(&mut self) -> String {
        if let Some((next, _)) = self.told.take_if(|(_, since)| since.elapsed() >= self.known_after) {
            self.tls.turn_to(&next);
        }
        let shown = self.tls.fingerprint();
        match self.tls.next() {
            Some(next) => format!("{shown} {next}"),
            None => shown,
        }
    }

    /// The registry has it.
    pub(super) fn told(&mut self, certificates: &str) {
        let next = certificates.split_once(' ').map(|(_, next)| next);
        if self.told.as_ref().map(|(told, _)| told.as_str()) != next {
            self.told = next.map(|next| (next.to_owned(), Instant::now()));
        }
    }
}
