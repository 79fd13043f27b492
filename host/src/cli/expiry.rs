//! The certificate of the port nears its end: browsers refuse it then, and only its administrator can do something.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{domain::Clock, wire::tls::OwnTls};

/// So long before is told.
const BEFORE: SignedDuration = SignedDuration::from_hours(21 * 24);

/// How often is told.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be said of a certificate that is good until then.
pub(super) fn caution(expires: Timestamp, now: Timestamp) -> Option<String> {
    const WHAT_TO_DO: &str = "put a renewed one in its place, and send SIGHUP to the daemon";
    let left = expires.duration_since(now);
    if left > BEFORE {
        return None;
    }
    Some(match left.is_negative() {
        true => format!("the certificate expired at {expires:.0}, and browsers refuse it: {WHAT_TO_DO}"),
        false => format!("the certificate expires at {expires:.0}, and browsers refuse it then: {WHAT_TO_DO}"),
    })
}

/// Tells it once a day, and of each certificate that is shown, until stopped.
pub(super) async fn watch(tls: Arc<OwnTls>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut shown = tls.watch();
    loop {
        let expires = shown.borrow_and_update().expires;
        if let Some(caution) = caution(expires, clock.now()) {
            tracing::warn!("{caution}");
        }
        let next = tokio::time::timeout(AGAIN, shown.changed());
        if stop.run_until_cancelled(next).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_three_weeks_before_its_end_and_after_it() {
        let end: Timestamp = "2026-12-24T12:00:00Z".parse().unwrap();
        let told = |now: &str| caution(end, now.parse().unwrap()).unwrap_or_default();
        assert_eq!(told("2026-12-03T11:59:59Z"), "");
        assert!(told("2026-12-03T12:00:00Z").starts_with("the certificate expires at 2026-12-24T12:00:00Z, and"));
        assert!(told("2026-12-24T12:00:01Z").starts_with("the certificate expired at 2026-12-24T12:00:00Z, and"));
    }
}
