//! What belongs to one instance: the question it sees and what it has said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::limits::Meter;
use crate::balancer::{Answer, Columns, LogLevel, LogLine, Question, Request};

/// Lines that are kept of one decision's log.
const LINES: usize = 32;

/// The data of a guest's store.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) nodes: Arc<Columns>,
    pub(super) user_sessions: Arc<[u32]>,
    pub(super) request: Request,
    pub(super) settings: Arc<BTreeMap<String, String>>,
    pub(super) meter: Meter,
    pub(super) said: Said,
}

impl Guest {
    /// A guest that is to decide.
    pub(super) fn new(question: &Question, settings: &Arc<BTreeMap<String, String>>, memory: usize) -> Self {
        Self {
            nodes: Arc::clone(&question.nodes),
            user_sessions: Arc::clone(&question.user_sessions),
            request: question.request.clone(),
            settings: Arc::clone(settings),
            meter: Meter::new(memory),
            said: Said::default(),
        }
    }

    /// A guest that is asked about itself.
    pub(super) fn idle(settings: &Arc<BTreeMap<String, String>>, memory: usize) -> Self {
        let question =
            Question { nodes: Arc::new(Columns::default()), user_sessions: Arc::new([]), request: Request::default() };
        Self::new(&question, settings, memory)
    }
}

/// What a guest has said beside its answer.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) scores: Option<Vec<f64>>,
    pub(super) reason: Option<String>,
    lines: Vec<LogLine>,
    left_out: usize,
}

impl Said {
    /// Whether another line is kept; counts it as left out otherwise.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.lines.len() < LINES;
        self.left_out += usize::from(!room);
        room
    }

    /// Keeps a line.
    pub(super) fn write(&mut self, level: LogLevel, message: String) {
        self.lines.push(LogLine { level, message });
    }

    /// The last error that it wrote.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.lines.iter().rfind(|line| line.level == LogLevel::Error).map(|line| line.message.as_str())
    }

    /// With the order of the nodes, the whole answer.
    pub(super) fn into_answer(mut self, order: Vec<u32>, duration: Duration) -> Answer {
        let (scores, reason) = (self.scores.take(), self.reason.take());
        Answer { order, scores, reason, log: self.into_log(), duration }
    }

    /// The lines, with one more that counts those left out.
    fn into_log(mut self) -> Vec<LogLine> {
        if self.left_out > 0 {
            let message = format!("{} more lines were left out: {LINES} a decision are kept", self.left_out);
            self.lines.push(LogLine { level: LogLevel::Warn, message });
        }
        self.lines
    }
}
