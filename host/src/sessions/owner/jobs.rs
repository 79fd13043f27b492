//! What is different about a job: it is run once, its program's own end is its end, and its log stays for a while.

use std::time::Duration;

use crate::{
    accounts::Account,
    domain::{Session, State},
    launcher::{Exit, Launch, LaunchError},
    store::{Report, StoreError},
};

use super::{LOG_LINES, Owner, hands::Hand, reports::bounded};

/// What becomes of the logs of jobs that are over.
#[derive(Clone, Copy, Debug)]
pub struct JobLogs {
    /// How long they are kept; not at all where this is none.
    pub kept: Option<Duration>,
}

impl Owner {
    /// What is to be started for a claimed session, or why that cannot be.
    pub(super) async fn launch(&self, session: &Session, account: (Account, Vec<u32>)) -> Result<Launch, String> {
        let (id, epoch) = (session.id, session.epoch);
        let kind = self.kinds.get(&session.kind);
        let kind = kind.ok_or_else(|| format!("node {} does not know the kind {}", self.here.name, session.kind))?;
        if kind.is_job() != session.is_job {
            return Err(format!(
                "the kind {} of node {} is another than where it was asked for",
                kind.name, self.here.name
            ));
        }
        let job = if session.is_job {
            let job = self.persist(id, "reading a job", || self.store.job(id)).await;
            Some(job.ok_or("what it is to run is not kept any more")?.into())
        } else {
            None
        };
        let ((account, groups), cpus, memory) = (account, session.cpus, session.memory);
        Ok(Launch { id, epoch, account, groups, kind, job, cpus, memory })
    }

    /// What comes after a failed start: the next candidate, unless it is a job of which something may have run.
    pub(super) async fn launch_has_failed(
        self: &std::sync::Arc<Self>,
        session: &Session,
        error: &LaunchError,
        hand: Hand,
    ) {
        if session.is_job && hand.wanted_now().is_none() && !error.nothing_ran() {
            return self.fail(session, &error.to_string()).await;
        }
        self.start_has_failed(session, &error.to_string(), hand).await;
    }

    /// Reports how a job's program ended.
    pub(super) async fn conclude_job(&self, session: &Session, exit: &Exit) {
        let Some(status) = exit.as_status() else {
            let what = match exit {
                Exit::Unknown => "nobody saw how the job ended, and it is not run again".to_owned(),
                exit => format!("the job ended {exit}, and it is not run again"),
            };
            return self.fail(session, &what).await;
        };
        let failure = match exit {
            Exit::Status(0) => None,
            Exit::Status(status) => Some(self.with_log(session, &format!("failed with status {status}")).await),
            exit => Some(self.with_log(session, &exit.to_string()).await),
        };
        tracing::info!(session = %session.id, status, "the job has ended");
        if self.report(session, Report::Exited { status, failure }).await.is_some() {
            self.part_with(session).await;
        }
    }

    /// A job whose start was claimed and whose program does not run: it has ended, or is gone without a trace. Whether any
    /// of it was run is then not known.
    pub(super) async fn account_for_job(&self, session: &Session, restarted: bool) {
        let exit = self.unseen_end(session, restarted).await;
        self.conclude_job(session, &exit).await;
    }

    /// What happened, with the last lines of the session's log.
    pub(super) async fn with_log(&self, session: &Session, what: &str) -> String {
        let log = self.launcher.log_tail(session.id, LOG_LINES).await.unwrap_or_default();
        bounded(&match log.trim_end() {
            "" => format!("{what}; its log is empty"),
            log => format!("{what}; the last lines of its log:\n{log}"),
        })
    }

    /// A session is over: nothing of it is kept here, unless it is a job whose log is.
    pub(super) async fn part_with(&self, session: &Session) {
        if !self.keeps_log(session) {
            self.launcher.forget(session.id).await;
        }
    }

    /// Whether the log of a session outlasts its end.
    pub(super) fn keeps_log(&self, session: &Session) -> bool {
        session.is_job && self.job_logs.kept.is_some()
    }

    /// Whether no task looks after a session.
    #[cfg(test)]
    pub(in crate::sessions) fn hands_are_free(&self, id: crate::domain::SessionId) -> bool {
        self.hands.epochs(id).is_empty()
    }

    /// Forgets what has been over for so long.
    pub(in crate::sessions) async fn sweep(&self, limit: Duration) -> Result<(), StoreError> {
        let kept = self.launcher.kept().await.unwrap_or_default();
        if kept.is_empty() {
            return Ok(());
        }
        let now = self.store.now().await?;
        for id in kept {
            let Some(session) = self.store.session(id).await? else { continue };
            let over = matches!(session.state, State::Ended | State::Failed) && self.hands.epochs(id).is_empty();
            if over && now.duration_since(session.changed).unsigned_abs() >= limit {
                tracing::info!(session = %id, "what was kept of it is removed");
                self.launcher.forget(id).await;
            }
        }
        Ok(())
    }
}
