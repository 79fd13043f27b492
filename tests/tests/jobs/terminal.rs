//! `evenkeel run` on a terminal: Ctrl-C asks.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Client, Cluster, Session, wait};

use crate::over;

/// A command on a terminal of its own, and somebody who types there.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs a job that waits for ever, of a node of the cluster.
    fn open(cluster: &Cluster) -> Result<Self> {
        let command = cluster.command(&["run"])?;
        let data = cluster.nodes()[0].files.data.display();
        let line = format!("{} run --data-dir {data} sh -c 'echo begun; exec sleep 3600'", quoted(&command)?);
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("script, of util-linux")?;
        let (keys, mut screen) = (child.stdin.take().context("piped")?, child.stdout.take().context("piped")?);
        let shown = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Ok(Self { child, keys, shown })
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the words have been shown so many times.
    async fn until(&self, words: &str, times: usize) -> Result<()> {
        wait::until(&format!("{words:?} to be shown"), wait::LONG, async || {
            let shown = self.shown();
            ensure!(shown.matches(words).count() >= times, "shown is {shown:?}");
            Ok(())
        })
        .await
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    async fn status(mut self) -> Result<Option<i32>> {
        let status = wait::until("the command to end", wait::LONG, async || {
            self.child.try_wait()?.with_context(|| format!("it shows {:?}", self.shown()))
        });
        Ok(status.await?.code())
    }
}

fn quoted(command: &Command) -> Result<String> {
    let program = command.get_program().to_str().context("text")?;
    ensure!(!program.contains('\''), "{program}");
    Ok(format!("'{program}'"))
}

const CTRL_C: &str = "\x03";
const QUESTION: &str = "[c]ancel the job, [d]etach from it, or go on?";

async fn running(cluster: &Cluster) -> Result<(Terminal, &Client, Session)> {
    let terminal = Terminal::open(cluster)?;
    terminal.until("begun", 1).await?;
    let client = cluster.client(0)?;
    Ok((terminal, client, client.sessions().await?.into_iter().next().context("no job")?))
}

#[tokio::test]
async fn who_goes_on_and_then_cancels_sees_the_job_end() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let (mut terminal, client, job) = running(&cluster).await?;
    terminal.press(CTRL_C)?;
    terminal.until(QUESTION, 1).await?;
    terminal.press("\r")?;
    terminal.until("and this command with it", 1).await?;
    assert_eq!(client.session(&job.id).await?.state, "active");
    terminal.press(CTRL_C)?;
    terminal.until(QUESTION, 2).await?;
    terminal.press("c\r")?;
    assert_eq!(terminal.status().await?, Some(130));
    assert_eq!(over(client, &job).await?.state, "ended");
    cluster.close().await
}

#[tokio::test]
async fn who_detaches_leaves_the_job_running_and_is_told_so() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let (mut terminal, client, job) = running(&cluster).await?;
    terminal.press(CTRL_C)?;
    terminal.until(QUESTION, 1).await?;
    terminal.press("d\r")?;
    terminal.until(&format!("job {} goes on", job.id), 1).await?;
    assert_eq!(terminal.status().await?, Some(130));
    assert_eq!(client.session(&job.id).await?.state, "active");
    client.end(&job.id).await?;
    over(client, &job).await?;
    cluster.close().await
}

#[tokio::test]
async fn a_second_interrupt_cancels() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let (mut terminal, client, job) = running(&cluster).await?;
    terminal.press(CTRL_C)?;
    terminal.until(QUESTION, 1).await?;
    terminal.press(CTRL_C)?;
    assert_eq!(terminal.status().await?, Some(130));
    assert_eq!(over(client, &job).await?.state, "ended");
    cluster.close().await
}
