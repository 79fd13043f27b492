//! What the daemon logs: by its environment, else by `logging.conf`.

use std::ffi::OsString;

use tracing_subscriber::EnvFilter;

use super::reload::SetLevel;
use crate::config::LogLevel;

/// What is logged, as `tracing_subscriber::EnvFilter` reads it: `debug`, or `info,evenkeel::proxy=debug`.
const LOG_VARIABLE: &str = "EVENKEEL_LOG";

/// Begins to log, and yields what changes how much.
pub(super) fn begin(level: LogLevel) -> SetLevel {
    let asked = std::env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty());
    let is_asked = asked.is_some();
    let (filter, unusable) = filter_of(asked, level);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(filter);
    let log = log.with_filter_reloading();
    let handle = log.reload_handle();
    log.init();
    if let Some(problem) = &unusable {
        tracing::warn!("{LOG_VARIABLE}: {problem}; logging.conf says what is logged");
    }
    let set = move |level: LogLevel| {
        if let Err(error) = handle.reload(EnvFilter::from(level.filter())) {
            tracing::warn!(%error, "what is logged stays as it is");
        }
    };
    (!is_asked || unusable.is_some()).then(|| Box::new(set) as Box<_>)
}

/// What is logged, and what is wrong with what was asked for.
fn filter_of(asked: Option<OsString>, level: LogLevel) -> (EnvFilter, Option<String>) {
    let asked = asked.filter(|text| !text.is_empty());
    let parsed = asked.map(|text| match text.into_string() {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| error.to_string()),
        Err(_) => Err("is not UTF-8".to_owned()),
    });
    match parsed {
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (level.filter().into(), Some(problem)),
        None => (level.filter().into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_log_filter_is_told_and_not_obeyed() {
        for (asked, filter, is_told) in [
            (None, "info", false),
            (Some(""), "info", false),
            (Some("debug"), "debug", false),
            (Some("evenkeel=loud"), "info", true),
        ] {
            let (made, problem) = filter_of(asked.map(OsString::from), LogLevel::Info);
            assert_eq!((made.to_string().as_str(), problem.is_some()), (filter, is_told), "{asked:?}: {problem:?}");
        }
    }
}
