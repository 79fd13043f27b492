//! What a guest prints, as lines of the log.

use super::state::OutputStream;
use crate::balancer::{LogLevel, text, wasm::guest::Guest};

/// Lines whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    out: Vec<u8>,
    error: Vec<u8>,
}

/// Takes what is written to a stream.
pub(super) fn write(guest: &mut Guest, stream: OutputStream, bytes: &[u8]) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = piece.strip_suffix(b"\n");
        let kept = guest.said.line;
        let line = line(guest, stream);
        // One byte more than is kept, so that it shows that something was cut off.
        let room = (kept + 1).saturating_sub(line.len());
        line.extend(text.unwrap_or(piece).iter().take(room));
        if text.is_some() {
            end(guest, stream);
        }
    }
}

/// Ends what was not ended, since nothing more will come.
pub(in crate::balancer::wasm) fn finish(guest: &mut Guest) {
    end(guest, OutputStream::Out);
    end(guest, OutputStream::Error);
}

fn line(guest: &mut Guest, stream: OutputStream) -> &mut Vec<u8> {
    match stream {
        OutputStream::Out => &mut guest.wasi.unfinished.out,
        OutputStream::Error => &mut guest.wasi.unfinished.error,
    }
}

/// Logs a line, unless it is blank.
fn end(guest: &mut Guest, stream: OutputStream) {
    let bytes = std::mem::take(line(guest, stream));
    if bytes.trim_ascii().is_empty() {
        return;
    }
    let room = guest.said.has_room();
    let level = match stream {
        OutputStream::Out if !room => return,
        OutputStream::Out => LogLevel::Info,
        OutputStream::Error => LogLevel::Warn,
    };
    let message = text::clean(&String::from_utf8_lossy(&bytes), guest.said.line);
    if matches!(stream, OutputStream::Error) {
        guest.said.complaint = Some(message.clone());
    }
    if room {
        guest.said.write(level, message);
    }
}
