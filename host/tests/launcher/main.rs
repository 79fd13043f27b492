//! The local launcher with the real supervisor and real programs.

#![expect(clippy::unwrap_used, reason = "a failed test")]

mod activity;
mod adoption;
mod cgroups;
mod ending;
mod older;
mod protocol;
mod starting;
mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
};

/// The program of the sessions in these tests: a server that knows its secret.
#[test]
#[ignore = "not a test: what the other tests start"]
fn program() {
    let (Ok(act), Ok(secret)) = (std::env::var("ACT"), std::env::var("SECRET")) else { return };
    println!("this is the program");
    if act == "fail" {
        eprintln!("no such licence");
        std::process::exit(3);
    }
    if let Ok(port) = std::env::var("PORT") {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
        listener.incoming().for_each(|stream| answer(&stream.unwrap(), &act, &secret));
    }
    let listener = UnixListener::bind(std::env::var("SOCKET").unwrap()).unwrap();
    listener.incoming().for_each(|stream| answer(&stream.unwrap(), &act, &secret));
}

fn answer<S>(stream: &S, act: &str, secret: &str)
where
    for<'a> &'a S: Read + Write,
{
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default();
    let authorized = lines
        .take_while(|line| !line.is_empty())
        .any(|line| line.eq_ignore_ascii_case(&format!("authorization: token {secret}")));
    let status = match (authorized, act) {
        (false, _) => "403 Forbidden",
        (true, "unwell") => "503 Service Unavailable",
        (true, _) if target == "GET /s/abcdefgh/status HTTP/1.1" => "204 No Content",
        (true, _) => "404 Not Found",
    };
    let mut stream = stream;
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
}
