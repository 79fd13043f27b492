//! Supervisors of older protocols, which run for as long as their sessions do: today's daemon manages them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::DirBuilderExt, net::UnixListener, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use evenkeel::{
    domain::Epoch,
    launcher::{Address, Exit, Launcher, Running},
};
use nix::sys::signal::{Signal, kill};
use procfs::process::Process;
use serde_json::Value;

use crate::support::{Ground, id, is_alive, stop, until};

const STATE: &str = include_str!("protocol-1/state.json");
const TALK: &str = include_str!("protocol-1/talk.jsonl");
const EXIT: &str = include_str!("protocol-1/exit.json");

/// A process that says what was recorded, and does with a real program what it says.
#[test]
#[ignore = "not a test: the supervisor that another test talks to"]
fn supervisor() {
    let Some(directory) = std::env::var_os("SESSION").map(PathBuf::from) else { return };
    let mut program = Command::new("sleep").arg("1081").process_group(0).spawn().unwrap();
    let started = |pid: u32| Process::new(pid.cast_signed()).unwrap().stat().unwrap().starttime.to_string();
    let (own, below) = (std::process::id(), program.id());
    let fill = |text: &str| {
        text.replace("{boot}", procfs::sys::kernel::random::boot_id().unwrap().trim())
            .replace("{supervisor}", &own.to_string())
            .replace("{supervisor_started}", &started(own))
            .replace("{program}", &below.to_string())
            .replace("{program_started}", &started(below))
    };
    fs::write(directory.join("state.json"), fill(STATE)).unwrap();
    let talk: Vec<Value> = fill(TALK).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer = |call: &Value| talk.iter().find(|said| said["request"]["call"] == *call).map(|said| &said["answer"]);
    let listener = UnixListener::bind(directory.join("control.sock")).unwrap();
    let mut waiting = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let call = &request["call"];
            if call == "wait" {
                waiting.push(stream.try_clone().unwrap());
                break;
            }
            let answer = answer(call).or_else(|| answer(&"rename".into())).unwrap();
            writeln!(stream, "{answer}").unwrap();
            if call == "stop" {
                kill(nix::unistd::Pid::from_raw(below.cast_signed()), Signal::SIGTERM).unwrap();
                program.wait().unwrap();
                fs::write(directory.join("exit.json"), EXIT).unwrap();
                fs::remove_file(directory.join("control.sock")).unwrap();
                for mut stream in waiting {
                    writeln!(stream, "{}", answer_to_wait(&talk)).unwrap();
                }
                return;
            }
        }
    }
    program.wait().unwrap();
}

fn answer_to_wait(talk: &[Value]) -> &Value {
    talk.iter().find(|said| said["request"]["call"] == "wait").map(|said| &said["answer"]).unwrap()
}

/// Starts it as a daemon of then did.
fn start(directory: &Path) -> std::process::Child {
    fs::DirBuilder::new().mode(0o700).create(directory).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["older::supervisor", "--exact", "--ignored", "--nocapture"])
        .env("SESSION", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_supervisor_of_protocol_1_is_taken_over_talked_to_and_stopped() {
    assert!(nix::unistd::geteuid().is_root(), "it was recorded as root's: run this test as root");
    let ground = Ground::new();
    drop(ground.launcher());
    let session = ground.session();
    let mut supervisor = start(&session);
    until("it is there", || session.join("control.sock").exists()).await;
    // Reaped as the system does it: nobody's child any more.
    let reaper = std::thread::spawn(move || supervisor.wait());

    let launcher = ground.launcher();
    let found = launcher.adopt().await.unwrap();
    let [Running { pid, .. }] = found[..] else { panic!("{found:?}") };
    let expected = Running { id: id(), epoch: Epoch::FIRST, user: "root".to_owned(), kind: "script".to_owned(), pid };
    assert_eq!(found, [expected]);
    assert!(is_alive(pid.cast_signed()));
    let upstream = launcher.upstream(id()).unwrap();
    assert_eq!(upstream.address, Address::Unix(session.join("program.sock")), "where its program listens");
    assert_eq!(upstream.headers[0].1, "token 17");
    launcher.signal(id(), Epoch::FIRST, Signal::SIGCONT).await.unwrap();
    assert!(is_alive(pid.cast_signed()));

    stop(&ground, &launcher, Epoch::FIRST).await;
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Signal(15));
    reaper.join().unwrap().unwrap();
}
