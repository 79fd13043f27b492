//! The echo program shows what it is sent, and nothing else.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

struct Echo {
    program: Child,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Echo {
    fn start(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let program = Command::new(env!("CARGO_BIN_EXE_evenkeel-echo"))
            .arg("--socket")
            .arg(&socket)
            .arg("--base-path=/s/abcdefgh/")
            .args(more)
            .env("EVENKEEL_ECHO_SECRET", "s3cret")
            .env("EVENKEEL_SESSION", "abcdefgh")
            .env("USER", "ada")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { program, socket, _directory: directory }
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let length = body.len();
        write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET /s/abcdefgh{target} HTTP/1.1\r\nAuthorization: token s3cret"), "")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn it_says_who_it_is_to_those_who_know_the_secret() {
    let echo = Echo::start(&[]);
    let answer = echo.get("/");
    assert!(answer.ends_with(&format!("pid {}\nid abcdefgh\nuser ada\n", echo.program.id())), "{answer}");
    assert!(echo.ask("GET /s/abcdefgh/ HTTP/1.1", "").starts_with("HTTP/1.1 403 "));
    assert!(echo.ask("GET /s/abcdefgh/ HTTP/1.1\r\nAuthorization: token wrong", "").starts_with("HTTP/1.1 403 "));
    assert!(echo.ask("GET /elsewhere HTTP/1.1", "").starts_with("HTTP/1.1 404 "));
    assert!(echo.get("/ready").starts_with("HTTP/1.1 204 "));
}

#[test]
fn requests_are_shown_as_received_and_bodies_come_back() {
    let echo = Echo::start(&[]);
    let answer = echo.ask("PUT /s/abcdefgh/headers?a=%2F..&b HTTP/1.1\r\nX-One: 1\r\nx-one: 2", "");
    let shown: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(shown["method"], "PUT");
    assert_eq!(shown["target"], "/s/abcdefgh/headers?a=%2F..&b");
    assert_eq!(shown["headers"]["x-one"], serde_json::json!(["1", "2"]));

    let head = "POST /s/abcdefgh/any HTTP/1.1\r\nAuthorization: token s3cret\r\nContent-Type: a/b";
    let answer = echo.ask(head, "some body");
    assert!(answer.contains("content-type: a/b") && answer.contains("some body"), "{answer}");
    let answer = echo.get("/stream?chunks=4");
    assert_eq!(answer.matches("part ").count(), 4, "{answer}");
    assert_eq!(answer.matches("\r\n7\r\npart ").count(), 4, "each part is a chunk: {answer:?}");
    assert!(echo.get("/slow?ms=1").ends_with("late\n"));
}

#[tokio::test]
async fn messages_come_back() {
    let echo = Echo::start(&[]);
    let stream = tokio::net::UnixStream::connect(&echo.socket).await.unwrap();
    let mut request = "ws://x/s/abcdefgh/ws".into_client_request().unwrap();
    request.headers_mut().insert("authorization", "token s3cret".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![0, 255]), Message::text("x".repeat(100_000))] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(echo.get("/ws").starts_with("HTTP/1.1 426 "));
}

#[test]
fn it_fails_crashes_and_is_unready_on_request() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_evenkeel-echo")).args(["--port=0", "--fail-with-status=3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("licence server"));

    let mut echo = Echo::start(&["--never-ready"]);
    assert!(echo.get("/ready").starts_with("HTTP/1.1 503 "));
    echo.get("/crash?status=7");
    assert_eq!(echo.program.wait().unwrap().code(), Some(7));
}
