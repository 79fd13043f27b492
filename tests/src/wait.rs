//! Waiting on conditions, each with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

/// Long enough for anything that a healthy cluster does on a busy machine, and the test fails if it takes longer.
pub const LONG: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(25);

/// Looks at `condition` until it yields a value. An error means "not yet"; where the deadline passes, the last one is
/// the reason given.
pub async fn until<T>(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let mut last = anyhow!("it never answered");
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason,
            Err(_) => {}
        }
        if start.elapsed() >= deadline {
            return Err(last).with_context(|| format!("waited {} s for {what}", deadline.as_secs()));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let value = until("three looks", LONG, async || {
            looks += 1;
            if looks < 3 { Err(anyhow!("not yet")) } else { Ok(looks) }
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_deadline_that_passes_tells_the_last_reason() {
        let error = until::<()>("a pig", Duration::from_millis(60), async || Err(anyhow!("none flies"))).await;
        assert_eq!(format!("{:#}", error.unwrap_err()), "waited 0 s for a pig: none flies");
    }

    #[tokio::test]
    async fn a_condition_that_never_answers_does_not_outlast_the_deadline() {
        let error = until::<()>("silence", Duration::from_millis(60), async || std::future::pending().await).await;
        assert_eq!(format!("{:#}", error.unwrap_err()), "waited 0 s for silence: it never answered");
    }
}
