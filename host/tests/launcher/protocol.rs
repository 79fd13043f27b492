//! The supervisor's socket, spoken to by hand; what a supervisor costs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use evenkeel::{
    domain::{Epoch, SessionId},
    launcher::{Exit, Launch, Launcher},
};
use procfs::process::FDTarget;
use serde_json::{Value, json};

use crate::support::{Ground, id, stop};

struct Talk(BufReader<UnixStream>);

impl Talk {
    fn with(ground: &Ground) -> Self {
        let stream = UnixStream::connect(ground.session().join("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, bytes: &[u8]) -> Value {
        let _ = self.0.get_mut().write_all(bytes);
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// A connection that has its place: those that were closed a moment ago may have theirs still.
async fn let_in(ground: &Ground) -> Talk {
    let mut last = None;
    crate::support::until("a connection to be free", || {
        let talk = last.insert(Talk::with(ground));
        talk.say(b"{\"call\":\"hello\"}\n")["protocol"] == 2
    })
    .await;
    last.expect("the one that was let in")
}

#[tokio::test]
async fn garbage_is_answered_with_an_error_and_hurts_nothing() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let running = launcher.start(&ground.script("exec sleep 1061")).await.unwrap();
    let mut talk = Talk::with(&ground);
    let deep = [vec![b'['; 4000], vec![b'\n']].concat();
    let nested = [br#"{"call":"stop","x":"#.to_vec(), vec![b'['; 3000], vec![b'\n']].concat();
    let garbage: [&[u8]; 9] = [
        b"\n",
        b"hello\n",
        b"\xff\xfe\0\n",
        b"{}\n",
        b"{\"call\":7}\n",
        b"{\"call\":\"signal\"}\n",
        b"{\"call\":\"signal\",\"signal\":4711}\n",
        &deep,
        &nested,
    ];
    for line in garbage {
        assert!(talk.say(line)["error"].is_string(), "{}", String::from_utf8_lossy(line));
    }
    let error = talk.say(b"{\"call\":\"from-the-future\",\"more\":1}\n");
    assert!(error["error"].as_str().unwrap().contains("protocol 2"), "{error}");

    let hello = talk.say(b"{\"call\":\"hello\",\"version\":7,\"who\":\"a newer daemon\"}\n");
    assert_eq!(hello["protocol"], 2);
    assert_eq!(hello["session"], "abcdefgh");
    assert_eq!(hello["epoch"], 1);
    assert_eq!(hello["program"]["pid"], running.pid);
    assert_eq!(talk.say(b"{\"call\":\"status\"}\n")["exit"], Value::Null);

    // A line without an end is cut off, and its connection with it.
    let answer = talk.say(&vec![b'x'; 100_000]);
    assert!(answer["error"].as_str().unwrap().contains("4096"), "{answer}");
    // Connections that stay open do not keep others out once they are closed.
    for _ in 0..5 {
        let mut idle: Vec<Talk> = (0..30).map(|_| Talk::with(&ground)).collect();
        assert!(idle.iter_mut().any(|talk| talk.say(b"{\"call\":\"hello\"}\n")["error"].is_string()));
    }

    // Two wait for the end, one hangs up; the other is told.
    let mut waiting = let_in(&ground).await;
    waiting.0.get_mut().write_all(b"{\"call\":\"wait\"}\n").unwrap();
    let mut gone = let_in(&ground).await;
    gone.0.get_mut().write_all(b"{\"call\":\"wait\"}\n").unwrap();
    drop(gone);
    let mut talk = let_in(&ground).await;
    assert_eq!(talk.say(b"{\"call\":\"stop\",\"signal\":9}\n"), json!({}));
    let end = waiting.say(b"");
    assert_eq!(end["exit"]["signal"], 9, "{end}");
    let mut rest = Vec::new();
    waiting.0.read_to_end(&mut rest).unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Signal(9));
}

/// What a process takes of the memory, KiB: in all, each page of a file divided among those that map it, and of its own.
/// Whether a page of a file is dirty says nothing: after a build they all are, until the disk has them.
fn memory(pid: i32) -> (u64, u64) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| {
        let size = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        size.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
    };
    (field("Pss:"), field("Anonymous:"))
}

#[tokio::test]
async fn each_session_adds_a_small_supervisor() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let launch = ground.script("exec sleep 1072");
    let ids = ["abcdefgh", "00000001", "00000002", "00000003", "00000004", "00000005"];
    let mut supervisors = Vec::new();
    for id in ids {
        let id: SessionId = id.parse().unwrap();
        launcher.start(&Launch { id, ..launch.clone() }).await.unwrap();
        // Not fresh from its start: it has done what a daemon asks of it.
        launcher.signal(id, Epoch::FIRST, nix::sys::signal::Signal::SIGCONT).await.unwrap();
        supervisors.push(ground.supervisor_of(id));
    }
    assert_eq!(launcher.running().await.len(), ids.len());
    // It answers first, and gives back afterwards.
    crate::support::until("each supervisor to be small", || {
        let each: Vec<(u64, u64)> = supervisors.iter().map(|pid| memory(*pid)).collect();
        println!("KiB, and of these its own: {each:?}");
        // The larger part of its own is what the dynamic linker fills in, and much of that is for want of optimisation.
        each.iter().all(|(all, own)| (1..=5 * 1024).contains(all) && (1..=4 * 1024).contains(own))
    })
    .await;
    for id in ids.into_iter().skip(1) {
        launcher.stop(id.parse().unwrap(), Epoch::FIRST).await.unwrap();
    }
    stop(&ground, &launcher, Epoch::FIRST).await;
}

#[tokio::test]
async fn a_supervisor_holds_nothing_of_the_daemons() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("exec sleep 1071")).await.unwrap();
    let pid = ground.supervisor();
    let process = procfs::process::Process::new(pid).unwrap();
    let stat = process.stat().unwrap();
    assert_eq!(stat.session, pid, "a session of its own");
    assert_eq!(process.cwd().unwrap(), Path::new("/"));
    let files = || -> Vec<PathBuf> {
        let descriptors = process.fd().unwrap().filter_map(Result::ok);
        let target = |target| if let FDTarget::Path(path) = target { Some(path) } else { None };
        descriptors.filter_map(|descriptor| target(descriptor.target)).collect()
    };
    // It lets go of its standard streams after it has said that the program runs.
    let nothing = Path::new("/dev/null");
    let expected = vec![nothing.to_owned(), nothing.to_owned(), nothing.to_owned(), ground.log()];
    crate::support::until("standard input, output, error and the log", || files() == expected).await;
    stop(&ground, &launcher, Epoch::FIRST).await;
}

#[test]
fn started_by_hand_it_says_that_it_should_not_be() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel")).arg("supervisor").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by the daemon"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["supervisor", "/nonexistent"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["broken"]["context"].as_str().unwrap().contains("order"), "{report}");
}
