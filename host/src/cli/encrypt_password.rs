//! `encrypt-password`: a password from standard input, as it may stand in a file.

use std::{
    io::{BufRead, IsTerminal, Write, stderr, stdin},
    os::fd::AsFd,
};

use anyhow::{Context, bail, ensure};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use zeroize::Zeroizing;

use super::{Failure, LocationArguments, keys, location_flags, output, registry, report, system};
use crate::{
    config::{
        self, Flags, KeyPlaces,
        password::{self, LONGEST},
    },
    store::begun::Member,
};

/// Encrypts what is read under this node's key, which is made where the node has none and is the first of its cluster.
pub(super) fn run(location: &LocationArguments) -> Result<(), Failure> {
    let flags = location_flags(location);
    let places = config::key_places(&flags, &system::surroundings()).map_err(|problems| {
        report(&problems, false);
        Failure::Configuration
    })?;
    let password = if stdin().is_terminal() { ask()? } else { only_line(stdin().lock())? };
    let found = match places.find()? {
        Some(found) => found,
        None => {
            may_be_made(&flags, &password, &places)?;
            let made = places.find_or_create(&system::SystemEntropy)?;
            // The output is what goes into the file.
            say(&format!(
                "{} has been made; copy it to the other nodes, with mode 0600, before they start",
                made.path.display()
            ));
            made
        }
    };
    output::line(password::encrypt(&password, found.keys.signing(), &system::SystemEntropy));
    Ok(())
}

/// Whether this node may make a key: no other has begun a cluster in the registry, as far as that can be told by now.
fn may_be_made(flags: &Flags, password: &str, places: &KeyPlaces) -> anyhow::Result<()> {
    // Where the files are not finished, there is no registry to ask.
    let Some(config) = config::load(flags, &system::surroundings()).0 else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(registry::begun(&config, password)) {
        Ok(None) => Ok(()),
        Ok(Some(members)) => bail!(match members.iter().find(|member| member.name != config.node_name) {
            Some(Member { name, address }) => keys::to_be_copied(name, address, places),
            None => keys::to_be_put_there(places),
        }),
        Err(error) => {
            say(&format!(
                "warning: it cannot be told whether a cluster has a key already, in whose place this node's would not do: \
                 {error:#}"
            ));
            Ok(())
        }
    }
}

/// Beside the output.
fn say(text: &str) {
    let _ = writeln!(stderr(), "evenkeel: {text}");
}

/// Asks on the terminal, which shows nothing of the answer; Ctrl-C leaves it as it was.
fn ask() -> anyhow::Result<Zeroizing<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let answer = runtime.block_on(async {
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let silence = Silence::begin()?;
        let _ = write!(stderr(), "Password: ");
        let read = tokio::task::spawn_blocking(|| one_line(stdin().lock()));
        let answer = tokio::select! {
            answer = read => Some(answer?),
            _ = interrupt.recv() => None,
        };
        drop(silence);
        let _ = writeln!(stderr());
        anyhow::Ok(answer)
    })?;
    // What reads the terminal still is left behind.
    runtime.shutdown_background();
    answer.context("nothing was encrypted")?
}

/// A terminal that does not show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        let before = termios::tcgetattr(stdin().as_fd()).context("the terminal")?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        termios::tcsetattr(stdin().as_fd(), SetArg::TCSAFLUSH, &silent).context("the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin().as_fd(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// A password and nothing behind it.
fn only_line(mut input: impl BufRead) -> anyhow::Result<Zeroizing<String>> {
    let line = one_line(&mut input)?;
    ensure!(input.fill_buf()?.is_empty(), "the password has more than one line");
    Ok(line)
}

/// The password: a line, without its end.
fn one_line(input: impl BufRead) -> anyhow::Result<Zeroizing<String>> {
    // Room for the longest and the end of its line; what needs more is too long.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    input.take(LONGEST as u64 + 3).read_until(b'\n', &mut bytes)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    ensure!(!line.is_empty(), "there is no password: give it on standard input, one line");
    ensure!(line.len() <= LONGEST, "the password is longer than {LONGEST} bytes");
    let Ok(text) = std::str::from_utf8(line) else { bail!("the password is not UTF-8") };
    ensure!(!text.contains('\0'), "the password has a zero byte in it");
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<String, String> {
        only_line(input).map(|text| text.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_is_one_line_without_its_end_and_otherwise_as_it_is() {
        for (input, password) in
            [("s3cret\n", "s3cret"), ("s3cret", "s3cret"), (" a b \r\n", " a b "), ("\\n\n", "\\n")]
        {
            assert_eq!(read(input.as_bytes()).as_deref(), Ok(password));
        }
        let longest = "x".repeat(LONGEST);
        assert_eq!(read(format!("{longest}\r\n").as_bytes()).as_deref(), Ok(longest.as_str()));
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        let longer = "x".repeat(LONGEST + 1);
        let inputs: [(&[u8], &str); 6] = [
            (b"", "no password"),
            (b"\n", "no password"),
            (b"one\ntwo\n", "more than one line"),
            (b"\xff\n", "not UTF-8"),
            (b"a\0b", "zero byte"),
            (longer.as_bytes(), "longer than"),
        ];
        for (input, why) in inputs {
            assert!(read(input).is_err_and(|error| error.contains(why)), "{why}");
        }
    }
}
