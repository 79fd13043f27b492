//! `run`: a job from the command line, with its output and its exit status.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use http::Method;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{LocationArguments, client::Daemon, node_ref::NodeRef, output};
use crate::domain::{Job, SessionId, State};

/// How long after the daemon was away it is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The exit status where there is none of the job's own.
const NO_STATUS: u8 = 125;

/// Run a script or a command as a job, show its output, and end with its exit status.
///
/// Ctrl-C asks whether to cancel the job or to leave it to itself; where nobody can be asked, it is cancelled. The exit
/// status is the job's own, 128 and the number of the signal that ended it, or 125 where it came to no end of its own.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) location: LocationArguments,
    /// What to call it [default: the name of the script or command]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The kind of session
    #[arg(long, value_name = "KIND", default_value = "job")]
    kind: String,
    /// Environment variable; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Directory it starts in [default: this one]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Processors asked for
    #[arg(long, value_name = "N")]
    cpus: Option<f64>,
    /// Memory asked for: bytes, or with K, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Print the job's id and leave it to itself
    #[arg(long)]
    detach: bool,
    /// Show the output until the job is over: the default
    #[arg(long, conflicts_with = "detach")]
    follow: bool,
    /// With --detach: print the session as JSON
    #[arg(long, requires = "detach")]
    json: bool,
    /// A script that begins with the line of its interpreter, which is sent along; anything else is run as a command
    script: String,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    state: State,
    node: NodeRef,
    failure: Option<String>,
    exit_status: Option<u8>,
}

/// Runs the job; the exit status to end with.
pub(super) async fn run(daemon: Daemon, arguments: &RunArguments) -> anyhow::Result<u8> {
    let answer: Value = daemon.post("/api/v1/sessions", &request(arguments)?).await?;
    let session = Session::deserialize(&answer).context("the daemon's answer cannot be read")?;
    if arguments.detach {
        output::line(if arguments.json { answer.to_string() } else { session.id.to_string() });
        return Ok(0);
    }
    say(format_args!("job {} on {}", session.id, session.node.title()));
    // The signal that has cancelled it: its end may be seen by either of the two.
    let cancelled = Cell::new(None);
    let own = tokio::select! {
        status = follow(daemon.clone(), session.id) => status?,
        left = interrupted(&daemon, session.id, &cancelled) => return left,
    };
    Ok(own.unwrap_or_else(|| cancelled.get().map_or(NO_STATUS, |number| 128 + number)))
}

fn request(arguments: &RunArguments) -> anyhow::Result<Value> {
    let here = std::env::current_dir().context("the present directory")?;
    let directory = arguments.directory.as_ref().map_or(here.clone(), |directory| here.join(directory));
    let environment: BTreeMap<_, _> = arguments.env.iter().cloned().collect();
    let mut request = json!({
        "kind": arguments.kind,
        "name": arguments.name.clone().unwrap_or_else(|| title(&arguments.script)),
        "environment": environment,
        "directory": text(&directory)?,
    });
    match script(&here.join(&arguments.script))? {
        Some(script) => {
            request["script"] = script.into();
            request["arguments"] = json!(arguments.arguments);
        }
        None => {
            // What lies here is meant by its path; a name is looked for where the job runs.
            let is_path = arguments.script.contains('/');
            let program = if is_path { text(&here.join(&arguments.script))? } else { arguments.script.clone() };
            let words: Vec<_> = [program].into_iter().chain(arguments.arguments.iter().cloned()).collect();
            request["command"] = json!(words);
        }
    }
    if let Some(cpus) = arguments.cpus {
        request["cpus"] = json!(cpus);
    }
    if let Some(memory) = arguments.memory {
        request["memory"] = json!(memory);
    }
    Ok(request)
}

/// The text of a script; none where it is none or not there.
fn script(path: &Path) -> anyhow::Result<Option<String>> {
    use std::io::Read as _;
    if !path.is_file() {
        return Ok(None);
    }
    let context = || path.display().to_string();
    let mut bytes = Vec::new();
    let most = Job::LONGEST_SCRIPT as u64 + 1;
    std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).with_context(context)?;
    if !bytes.starts_with(b"#!") {
        return Ok(None);
    }
    if bytes.len() > Job::LONGEST_SCRIPT {
        bail!("{}: a script may have {} bytes at most", path.display(), Job::LONGEST_SCRIPT);
    }
    String::from_utf8(bytes).map(Some).with_context(context)
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| anyhow!("{}: is not UTF-8", path.display()))
}

fn title(script: &str) -> String {
    script.rsplit('/').next().unwrap_or(script).chars().take(100).collect()
}

/// Shows the output to its end, over restarts of the daemon; the job's own status, if it came to an end of its own.
async fn follow(mut daemon: Daemon, id: SessionId) -> anyhow::Result<Option<u8>> {
    let mut from = 0;
    let mut away = false;
    loop {
        let shown = show(&daemon, id, &mut from).await;
        let ended = match shown {
            Ok(()) => over(&daemon, id).await,
            // A log that is not kept, or whose node is gone for good, is no reason to wait for a job that is over.
            Err(error) => match over(&daemon, id).await {
                Ok(Some(session)) => Ok(Some(session)),
                _ => Err(error),
            },
        };
        match ended {
            Ok(Some(session)) => return Ok(conclude(&session)),
            Ok(None) => away = false,
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    say(format_args!("{error:#}; the job goes on, and so does this once the daemon answers"));
                }
                tokio::time::sleep(PAUSE).await;
                if let Ok(again) = daemon.again() {
                    daemon = again;
                }
            }
        }
    }
}

/// Prints what comes until the stream ends.
async fn show(daemon: &Daemon, id: SessionId, from: &mut u64) -> anyhow::Result<()> {
    let mut body = daemon.stream(&format!("/api/v1/sessions/{id}/log?follow=true&from={from}")).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context("the stream broke off")?.into_data() {
            let mut output = stdout().lock();
            output.write_all(&bytes).and_then(|()| output.flush()).context("standard output")?;
            *from += bytes.len() as u64;
        }
    }
    Ok(())
}

/// The session, if it is over.
async fn over(daemon: &Daemon, id: SessionId) -> anyhow::Result<Option<Session>> {
    let session: Session = daemon.get(&format!("/api/v1/sessions/{id}")).await?;
    Ok(session.state.is_over().then_some(session))
}

fn conclude(session: &Session) -> Option<u8> {
    if session.exit_status.is_some() {
        return session.exit_status;
    }
    match &session.failure {
        // Its log has been shown.
        Some(failure) => say(failure.lines().next().unwrap_or_default()),
        None => say(format_args!("job {} was ended before its program was", session.id)),
    }
    None
}

/// Waits for an interrupt that ends this command.
async fn interrupted(daemon: &Daemon, id: SessionId, cancelled: &Cell<Option<u8>>) -> anyhow::Result<u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let number: u8 = tokio::select! {
            result = tokio::signal::ctrl_c() => { result?; 2 }
            _ = terminate.recv() => 15,
        };
        let can_ask = number == 2 && stdin().is_terminal() && stderr().is_terminal();
        let choice = if can_ask { ask().await } else { Choice::Cancel };
        match choice {
            Choice::GoOn => say(format_args!("job {id} goes on, and this command with it")),
            Choice::Detach => {
                say(format_args!("job {id} goes on; `evenkeel sessions` shows it"));
                return Ok(128 + number);
            }
            Choice::Cancel => {
                cancelled.set(Some(number));
                daemon.ask(Method::DELETE, &format!("/api/v1/sessions/{id}")).await?;
                while over(daemon, id).await?.is_none() {
                    tokio::time::sleep(PAUSE / 5).await;
                }
                return Ok(128 + number);
            }
        }
    }
}

enum Choice {
    Cancel,
    Detach,
    GoOn,
}

/// Asks on the terminal; a second interrupt cancels.
async fn ask() -> Choice {
    let _ = write!(stderr(), "\n[c]ancel the job, [d]etach from it, or go on? ");
    let (tell, told) = oneshot::channel();
    // Not the runtime's own thread, which would have to be waited for.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = stdin().lock().read_line(&mut line);
        let _ = tell.send(line);
    });
    let line = tokio::select! {
        line = told => line.unwrap_or_default(),
        _ = tokio::signal::ctrl_c() => return Choice::Cancel,
    };
    match line.trim().to_lowercase().as_str() {
        "c" | "cancel" => Choice::Cancel,
        "d" | "detach" => Choice::Detach,
        _ => Choice::GoOn,
    }
}

fn say(text: impl std::fmt::Display) {
    let _ = writeln!(stderr(), "evenkeel: {text}");
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Bytes, or a number with a letter: 512M, 2G.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected bytes, or a number with K, M, G or T: 2G".to_owned();
    let (number, shift) = match text.char_indices().last().filter(|(_, letter)| letter.is_ascii_alphabetic()) {
        Some((at, letter)) => {
            let shift = match letter.to_ascii_uppercase() {
                'K' => 10,
                'M' => 20,
                'G' => 30,
                'T' => 40,
                _ => return Err(wrong()),
            };
            (&text[..at], shift)
        }
        None => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_letter() {
        assert_eq!((size("17"), size("2k"), size("3G")), (Ok(17), Ok(2048), Ok(3 << 30)));
        for wrong in ["", "G", "1.5G", "-1", "9999999T", "1X", "1é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_script_is_a_file_that_names_its_interpreter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job");
        assert_eq!(script(&path).unwrap(), None);
        std::fs::write(&path, [0x7f, b'E', b'L', b'F', 0xff]).unwrap();
        assert_eq!(script(&path).unwrap(), None);
        std::fs::write(&path, "#!/bin/sh\nexit 3\n").unwrap();
        assert_eq!(script(&path).unwrap().as_deref(), Some("#!/bin/sh\nexit 3\n"));
        std::fs::write(&path, [b"#!/bin/sh\n".as_slice(), &[0xff]].concat()).unwrap();
        assert!(script(&path).is_err());
        std::fs::write(&path, format!("#!/bin/sh\n{}", "x".repeat(Job::LONGEST_SCRIPT))).unwrap();
        assert!(script(&path).is_err());
    }
}
