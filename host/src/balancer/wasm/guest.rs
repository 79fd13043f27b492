//! What belongs to one instance: the question it sees and what it has said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    limits::{Limits, Meter},
    wasi::Wasi,
};
use crate::balancer::{Answer, Columns, LogLevel, LogLine, Question, Request};

/// The data of a guest's store.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) nodes: Arc<Columns>,
    pub(super) user_sessions: Arc<[u32]>,
    pub(super) request: Request,
    pub(super) settings: Arc<BTreeMap<String, String>>,
    pub(super) meter: Meter,
    pub(super) said: Said,
    pub(super) wasi: Wasi,
}

impl Guest {
    /// A guest that is to decide.
    pub(super) fn new(question: &Question, settings: &Arc<BTreeMap<String, String>>, limits: &Limits) -> Self {
        Self {
            nodes: Arc::clone(&question.nodes),
            user_sessions: Arc::clone(&question.user_sessions),
            request: question.request.clone(),
            settings: Arc::clone(settings),
            meter: Meter::new(limits),
            said: Said::keeping(limits),
            wasi: Wasi::default(),
        }
    }

    /// A guest that is asked about itself.
    pub(super) fn idle(settings: &Arc<BTreeMap<String, String>>, limits: &Limits) -> Self {
        let question = Question {
            nodes: Arc::new(Columns::default()),
            user_sessions: Arc::new([]),
            request: Request::default(),
            session: None,
        };
        Self::new(&question, settings, limits)
    }
}

/// What a guest has said beside its answer.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) scores: Option<Vec<f64>>,
    pub(super) reason: Option<String>,
    lines: Vec<LogLine>,
    /// How many of them are kept.
    room: usize,
    /// Bytes that are kept of a line.
    pub(super) line: usize,
    left_out: usize,
    /// The last line on its standard error, kept or not.
    pub(super) complaint: Option<String>,
}

impl Said {
    fn keeping(limits: &Limits) -> Self {
        Self { room: limits.log_lines, line: limits.log_line, ..Self::default() }
    }

    /// Whether another line is kept; counts it as left out otherwise.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.lines.len() < self.room;
        self.left_out += usize::from(!room);
        room
    }

    /// Keeps a line.
    pub(super) fn write(&mut self, level: LogLevel, message: String) {
        self.lines.push(LogLine { level, message });
    }

    /// The last error that it wrote: where runtimes write why they give up, else to the log.
    pub(super) fn last_error(&self) -> Option<&str> {
        let logged = || self.lines.iter().rfind(|line| line.level == LogLevel::Error).map(|line| line.message.as_str());
        self.complaint.as_deref().or_else(logged)
    }

    /// With the order of the nodes, the whole answer.
    pub(super) fn into_answer(mut self, order: Vec<u32>, duration: Duration) -> Answer {
        let (scores, reason) = (self.scores.take(), self.reason.take());
        Answer { order, scores, reason, log: self.into_log(), duration }
    }

    /// The lines, with one more that counts those left out.
    pub(super) fn into_log(mut self) -> Vec<LogLine> {
        if self.left_out > 0 {
            let message = format!("{} more lines were left out: {} a decision are kept", self.left_out, self.room);
            self.lines.push(LogLine { level: LogLevel::Warn, message });
        }
        self.lines
    }
}
