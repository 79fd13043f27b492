//! The legacy script: a program of the administrator's that is told a user and a list of nodes, and prints one of them.
//!
//! It is executed, not passed to a shell, so that nothing in a user's name means anything. It runs in a process group of its
//! own, which is killed as soon as the answer is there or the time is up; what it leaves running is never waited for.

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Answer, Balancer, Hearing, LogLevel, LogLine, Question, Refusal,
    text::clean,
    trust::{Trust, TrustError},
};

mod account;
mod answer;
mod run;
mod running;

pub use account::{Account, AccountError};
use running::Running;

/// How many runs may be stuck where no signal reaches them, such as on a file server that does not answer.
const MOST_STUCK: usize = 64;

/// How many lines of its standard error go to the log.
const MOST_LINES: usize = 20;

/// How much of one line does, bytes.
const MOST_OF_A_LINE: usize = 512;

/// How the script is run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// How long it may take.
    pub limit: Duration,
    /// Its whole environment, beside the user and the nodes.
    pub environment: Vec<(OsString, OsString)>,
    /// The account that it runs as; none for the daemon's own.
    pub account: Option<Account>,
    /// Who may have written it.
    pub trust: Trust,
    /// Whether nodes are named by their addresses instead of their host names.
    pub resolve: bool,
}

/// The script as a balancer.
#[derive(Debug)]
pub struct Script {
    name: String,
    setup: Arc<Setup>,
    running: Arc<Running>,
}

impl Script {
    /// A script under the name that it is selected by.
    pub fn new(name: &str, setup: Setup) -> Self {
        Self { name: name.to_owned(), setup: Arc::new(setup), running: Arc::default() }
    }

    /// The node that it names, or what is wrong; and what it wrote to its standard error.
    fn ask(&self, question: &Question, nodes: &[String], log: &mut Vec<LogLine>) -> Result<u32, String> {
        // This one is held here, and one by each run that goes on.
        if Arc::strong_count(&self.running) > MOST_STUCK {
            return Err(format!("is not started again: {MOST_STUCK} runs of it do not end"));
        }
        let (setup, list) = (Arc::clone(&self.setup), nodes.join(","));
        let username = question.request.username.clone();
        let command = move || setup.command(&username, &list);
        let run = run::run(command, self.setup.limit, &self.running)?;
        let errors = String::from_utf8_lossy(&run.errors);
        let lines = || errors.lines().filter(|line| !line.trim().is_empty());
        let line = |line: &str| LogLine { level: LogLevel::Warn, message: clean(line, MOST_OF_A_LINE) };
        log.extend(lines().take(MOST_LINES).map(line));
        answer::node(&run, nodes, self.setup.limit).map_err(|problem| match lines().next_back() {
            Some(last) => format!("{problem}; it complained: `{}`", clean(last, answer::SHOWN)),
            None => problem,
        })
    }
}

impl Balancer for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn digest(&self) -> Option<&str> {
        None
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn stop(&self) {
        self.running.stop();
    }

    /// The node that the script named, and no other: where a start there fails, the script is asked again without it.
    fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
        self.hear(question).outcome
    }

    fn hear(&self, question: &Question) -> Hearing {
        let since = Instant::now();
        let nodes = self.setup.names(question);
        let mut log = Vec::new();
        let named = self.ask(question, &nodes, &mut log);
        let duration = since.elapsed();
        let (outcome, refused_log) = match named {
            Ok(node) => {
                let order = vec![node];
                (Ok(Answer { order, scores: None, reason: None, log, duration }), Vec::new())
            }
            Err(problem) => (Err(Refusal::Failed(format!("{} {problem}", self.setup.program.display()))), log),
        };
        Hearing { outcome, refused_log, duration, memory: None }
    }
}

impl Setup {
    /// Whether the script may be run, as far as its owners go.
    pub fn check(&self) -> Result<(), TrustError> {
        self.trust.check(&self.program)
    }

    /// What the script is told of each node, and must answer with.
    fn names(&self, question: &Question) -> Vec<String> {
        let (addresses, ips) = (&question.nodes.addresses, &question.nodes.ips);
        let name = |(index, address): (usize, &String)| {
            let ip = ips.get(index).copied().flatten().filter(|_| self.resolve);
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            ip.zip(port).map_or_else(|| address.clone(), |(ip, port)| SocketAddr::new(ip, port).to_string())
        };
        addresses.iter().enumerate().map(name).collect()
    }

    /// The command for one decision. Looks at the file system, which may take its time.
    fn command(&self, username: &str, nodes: &str) -> Result<Command, String> {
        self.check().map_err(|error| format!("is not run: {error}"))?;
        has_interpreter(&self.program)?;
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("RSTUDIO_USERNAME", username)
            .env("RSTUDIO_NODES", nodes)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(account) = &self.account {
            // Where root becomes another user, the standard library also drops every supplementary group.
            command.gid(account.gid).uid(account.uid);
        }
        Ok(command)
    }
}

/// A text without an interpreter would be handed to a shell by some ways of starting a program and refused by others; it is
/// refused. What cannot be read can perhaps be run.
fn has_interpreter(program: &Path) -> Result<(), String> {
    let mut first = Vec::new();
    let read = File::open(program).and_then(|file| file.take(4).read_to_end(&mut first));
    let runs = first.starts_with(b"#!") || first == b"\x7fELF";
    if read.is_ok() && !runs {
        Err("names no interpreter: its first line must begin with #!".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
