//! What a node says of itself after it has registered, each as soon as it changes.

use std::collections::BTreeMap;

use super::{Membership, bounded};

impl Membership {
    /// Tells the store what it does not know yet. Where it does not take something, the next heartbeat tries again.
    pub(super) async fn publish(&mut self, metrics: BTreeMap<String, f64>) {
        self.publish_settings().await;
        self.publish_digest().await;
        self.publish_certificate().await;
        self.publish_offer().await;
        self.publish_metrics(metrics).await;
    }

    /// The registration is the one statement of these; whatever was ordered of the node goes on holding before them.
    async fn publish_settings(&mut self) {
        let Some(settings) = &mut self.settings else { return };
        if !settings.has_changed().unwrap_or(false) {
            return;
        }
        let registration = settings.borrow_and_update().clone().put_into(self.joining.registration.clone());
        match bounded(self.patience, "registration", self.joining.store.register(&registration)).await {
            Ok(_) => {
                self.joining.registration = registration;
                self.offer_told = None;
            }
            Err(error) => {
                settings.mark_changed();
                tracing::debug!(%error, "the store was not told of the node's settings");
            }
        }
    }

    /// A node that registers again registers with what was published last.
    async fn publish_digest(&mut self) {
        let Some(digest) = self.digest.as_ref().map(|digest| digest.borrow().clone()) else { return };
        if digest == self.joining.registration.balancer_digest {
            return;
        }
        let call = self.joining.store.set_balancer_digest(self.node(), digest.as_deref());
        match bounded(self.patience, "balancer", call).await {
            Ok(()) => self.joining.registration.balancer_digest = digest,
            // The next heartbeat tries again.
            Err(error) => tracing::debug!(%error, "the store was not told of the balancer"),
        }
    }

    /// As with the digest.
    async fn publish_certificate(&mut self) {
        let node = self.node();
        let Some(certificate) = &mut self.certificate else { return };
        let wanted = certificate.wanted();
        if self.joining.registration.certificate.as_ref() == Some(&wanted) {
            return;
        }
        let call = self.joining.store.set_certificate(node, &wanted);
        match bounded(self.patience, "certificate", call).await {
            Ok(()) => {
                certificate.told(&wanted);
                self.joining.registration.certificate = Some(wanted);
            }
            Err(error) => tracing::debug!(%error, "the store was not told of the certificate"),
        }
    }

    /// As with the digest.
    async fn publish_offer(&mut self) {
        let Some(offer) = self.offer.as_ref().map(|offer| offer.borrow().clone()) else { return };
        if self.offer_told.as_ref() == Some(&offer) {
            return;
        }
        let kinds: Vec<String> = offer.keys().cloned().collect();
        let versions = offer.iter().filter_map(|(kind, version)| Some((kind.clone(), version.clone()?))).collect();
        let call = self.joining.store.set_kinds(self.node(), &kinds, &versions);
        match bounded(self.patience, "kinds", call).await {
            Ok(()) => {
                self.joining.registration.kinds = kinds;
                self.offer_told = Some(offer);
            }
            Err(error) => tracing::debug!(%error, "the store was not told of the kinds"),
        }
    }

    /// As with the digest.
    async fn publish_metrics(&mut self, metrics: BTreeMap<String, f64>) {
        if metrics == self.joining.registration.metrics {
            return;
        }
        let call = self.joining.store.set_metrics(self.node(), &metrics);
        match bounded(self.patience, "metrics", call).await {
            Ok(()) => self.joining.registration.metrics = metrics,
            Err(error) => tracing::debug!(%error, "the store was not told of the published numbers"),
        }
    }
}
