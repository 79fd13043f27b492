//! `plugin log NAME`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{client::Daemon, output};

/// How often is looked for new lines.
const PERIOD: Duration = Duration::from_millis(250);

/// How long a daemon that is followed may be away: it starts again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lines in one answer, at most.
pub(super) const MOST: u32 = 1_000;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    number: u64,
    time: String,
    session: Option<String>,
    level: String,
    text: String,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) lines: u32,
    pub(super) json: bool,
}

impl Wanted {
    async fn page(&self, daemon: &Daemon, limit: u32, after: Option<u64>) -> anyhow::Result<Page> {
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        daemon.get(&format!("/api/v1/balancers/{name}/log?limit={limit}{after}")).await
    }
}

/// Prints the newest lines.
pub(super) async fn print(daemon: &Daemon, wanted: &Wanted) -> anyhow::Result<()> {
    let Page { items, .. } = wanted.page(daemon, wanted.lines, None).await?;
    if wanted.json {
        output::line(json!({ "lines": items }));
    } else {
        for item in items {
            output::line(render(&serde_json::from_value(item)?));
        }
    }
    Ok(())
}

/// Prints the newest lines, and then those that come, each as it is there. Ends where nobody reads them any more, or the
/// daemon is away for too long.
pub(super) async fn follow(daemon: &Daemon, wanted: &Wanted) -> anyhow::Result<()> {
    let mut following = Following::default();
    // What is wrong at the beginning will not mend.
    following.take(wanted.page(daemon, wanted.lines, None).await?)?;
    let mut heard = Instant::now();
    loop {
        while let Some(line) = following.lines.pop_front() {
            let text = if wanted.json { line.to_string() } else { following.render(line)? };
            if output::try_line(text).is_err() {
                return Ok(());
            }
        }
        if !following.more {
            tokio::time::sleep(PERIOD).await;
        }
        let page = match daemon.again() {
            Ok(daemon) => wanted.page(&daemon, MOST, following.last).await,
            Err(error) => Err(error),
        };
        match page {
            Ok(page) => {
                following.take(page)?;
                heard = Instant::now();
            }
            Err(error) if heard.elapsed() > PATIENCE => return Err(error),
            Err(_) => following.more = false,
        }
    }
}

/// What has come and what is to be printed.
#[derive(Default)]
struct Following {
    lines: VecDeque<Value>,
    /// The number of the last line that has come.
    last: Option<u64>,
    /// That of the last line that was printed.
    printed: Option<u64>,
    more: bool,
}

impl Following {
    fn take(&mut self, page: Page) -> anyhow::Result<()> {
        if let Some(last) = page.items.last() {
            self.last = Some(Row::deserialize(last)?.number);
        }
        self.more = page.next.is_some();
        self.lines.extend(page.items);
        Ok(())
    }

    /// A line for people; before it, that some are missing.
    fn render(&mut self, line: Value) -> anyhow::Result<String> {
        let row: Row = serde_json::from_value(line)?;
        let expected = self.printed.replace(row.number).map(|printed| printed.saturating_add(1));
        Ok(match expected {
            Some(expected) if row.number > expected => format!("(some lines are no longer kept)\n{}", render(&row)),
            _ => render(&row),
        })
    }
}

fn render(Row { time, session, level, text, .. }: &Row) -> String {
    format!("{time}  {:8}  {level:5}  {text}", session.as_deref().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(numbers: &[u64], next: Option<&str>) -> Page {
        let line = |number: &u64| json!({ "number": number, "time": "2026-01-02T03:04:05Z", "session": "0123abcd", "level": "warn", "text": "so" });
        Page { items: numbers.iter().map(line).collect(), next: next.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_line_has_its_time_session_level_and_text() {
        let mut following = Following::default();
        let line = page(&[7], None).items.remove(0);
        assert_eq!(following.render(line).unwrap(), "2026-01-02T03:04:05Z  0123abcd  warn   so");
    }

    #[test]
    fn who_follows_is_told_where_lines_are_missing() {
        let mut following = Following::default();
        following.take(page(&[7, 8], Some("8"))).unwrap();
        assert_eq!((following.last, following.more), (Some(8), true));
        following.take(page(&[12], None)).unwrap();
        assert_eq!((following.last, following.more), (Some(12), false));
        following.take(page(&[], None)).unwrap();
        assert_eq!(following.last, Some(12), "nothing new is no reason to begin anew");
        let lines: Vec<_> = std::mem::take(&mut following.lines).into();
        let told: Vec<_> = lines.into_iter().map(|line| following.render(line).unwrap()).collect();
        assert!(
            !told[1].contains("no longer kept") && told[2].starts_with("(some lines are no longer kept)\n"),
            "{told:?}"
        );
    }
}
