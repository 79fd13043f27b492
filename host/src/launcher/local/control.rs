//! The daemon's side of a supervisor's socket.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::launcher::{
    record::{CONTROL, MOST_BYTES},
    supervisor::protocol::{Answer, Request},
};

/// How long a supervisor may take to answer anything but `wait`.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A connection to a supervisor.
pub(super) struct Client {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
}

impl Client {
    pub(super) async fn connect(directory: &Path) -> io::Result<Self> {
        let (input, output) = UnixStream::connect(directory.join(CONTROL)).await?.into_split();
        Ok(Self { input: BufReader::new(input), output })
    }

    /// One request and its answer, without a time limit. An answer that is an error is an error.
    pub(super) async fn call(&mut self, request: &Request) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.output.write_all(&line).await?;
        let mut line = Vec::new();
        (&mut self.input).take(MOST_BYTES).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer: Answer = serde_json::from_slice(&line)?;
        answer.error.map_or_else(|| Ok(Answer { error: None, ..answer }), |error| Err(io::Error::other(error)))
    }
}

/// Connects, asks, and has the answer within the time limit.
pub(super) async fn ask(directory: &Path, request: &Request) -> io::Result<Answer> {
    let ask = async { Client::connect(directory).await?.call(request).await };
    tokio::time::timeout(LIMIT, ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
