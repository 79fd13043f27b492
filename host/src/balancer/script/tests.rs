//! Real scripts, good and bad.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{sys::signal::kill, unistd::Pid};
use tempfile::TempDir;

use super::{Account, Script, Setup};
use crate::balancer::{Answer, Balancer, Columns, Question, Refusal, Request, trust::Trust};

mod answers;
mod environment;
mod processes;

/// A script in a directory of its own that everybody may enter.
struct Bench {
    directory: TempDir,
    setup: Setup,
}

impl Bench {
    /// A shell script with these lines.
    fn new(lines: &str) -> Self {
        Self::of_file(format!("#!/bin/sh\n{lines}\n").as_bytes(), 0o755)
    }

    fn of_file(content: &[u8], mode: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let program = directory.path().join("rserver-balancer");
        fs::write(&program, content).expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("it is ours");
        let setup = Setup {
            program,
            limit: Duration::from_secs(20),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            account: None,
            trust: Trust::Anybody,
            resolve: false,
        };
        Self { directory, setup }
    }

    fn limit(mut self, limit: Duration) -> Self {
        self.setup.limit = limit;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ask(&self, question: &Question) -> Result<Answer, Refusal> {
        Script::new("custom", self.setup.clone()).rank(question)
    }

    /// The index of the node that it names.
    fn node(&self) -> u32 {
        let answer = self.ask(&question()).expect("an answer");
        assert_eq!(answer.order.len(), 1, "one node, and nothing after it");
        answer.order[0]
    }

    /// What is said of its answer, after its path.
    fn failure(&self) -> String {
        match self.ask(&question()).expect_err("no answer") {
            Refusal::Failed(message) => {
                let path = format!("{} ", self.setup.program.display());
                message.strip_prefix(&path).expect("the script is named").to_owned()
            }
            Refusal::Declined(reason) => panic!("a script cannot decline: {reason}"),
        }
    }
}

/// Three nodes; user ada.
fn question() -> Question {
    let nodes = Columns {
        addresses: ["n1:8787", "n2:8787", "n3:8788"].map(ToOwned::to_owned).into(),
        ips: [Some("10.0.0.1".parse().expect("an address")), Some("fd00::2".parse().expect("one")), None].into(),
        names: ["n1", "n2", "n3"].map(ToOwned::to_owned).into(),
        ..Columns::default()
    };
    let request = Request { username: "ada".to_owned(), ..Request::default() };
    Question { nodes: nodes.into(), user_sessions: [0; 3].into(), request, session: None }
}

/// Waits until something holds, at most 20 seconds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

/// Whether the process runs whose number is in a file.
fn runs(file: &Path) -> bool {
    let text = fs::read_to_string(file).expect("it wrote its number");
    let pid: i32 = text.trim().parse().expect("a number");
    // Where nobody reaps orphans, what was killed stays as a zombie.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None).is_ok() && !zombie
}
