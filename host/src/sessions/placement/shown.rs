//! What a balancer was shown and its whole answer, as it is kept: with the module, enough to decide again.
//!
//! A batch is a version byte and a zstd stream of MessagePack maps, one a decision. Decisions of one batch share most of
//! their columns: a column that is the one of the decision before is left out. Maps grow by optional fields.

use std::{collections::BTreeMap, io::Read, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::eligible::Rule;
use crate::{
    balancer::{Columns, Question, Request},
    domain::NodeId,
};

/// A decision's question and answer.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was asked.
    pub question: Question,
    /// The nodes of its columns.
    pub nodes: Arc<[NodeId]>,
    /// The nodes that the balancer was not shown, each with the rule that excludes it.
    pub excluded: Arc<[(Rule, String)]>,
    /// The settings of the balancer that answered.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The nodes of the answer, best first, as indexes into the question's.
    pub order: Vec<u32>,
    /// One a node, where the balancer gave any.
    pub scores: Option<Vec<f64>>,
}

/// Why what is kept cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A later version wrote it.
    #[error("what the balancer was shown is kept in format {0}, which this program does not know: ask a newer one")]
    Version(u8),
    /// It is damaged.
    #[error("what the balancer was shown cannot be read: {0}")]
    Damaged(String),
}

const VERSION: u8 = 1;
/// Fast: what repeats is what matters.
const LEVEL: i32 = 1;
/// 8 MiB: a decision over 10,000 nodes and the one before it.
const WINDOW_LOG: u32 = 23;
/// The most that one content may unpack to.
const LARGEST: u64 = 2 << 30;

fn damaged(error: impl std::fmt::Display) -> FormatError {
    FormatError::Damaged(error.to_string())
}

/// Makes the structs of an entry as it is written and read; a column of none is the one of the entry before.
macro_rules! columns {
    ($($column:ident: $type:ty),* $(,)?) => {
        #[derive(Default, Serialize)]
        struct Written<'s> {
            $(#[serde(skip_serializing_if = "Option::is_none")] $column: Option<&'s [$type]>,)*
        }

        #[derive(Deserialize)]
        struct Stored {
            $($column: Option<Vec<$type>>,)*
        }

        impl<'s> Written<'s> {
            fn new(columns: &'s Columns, before: Option<&Columns>) -> Self {
                Self {
                    $($column: before
                        .is_none_or(|before| !Arc::ptr_eq(&before.$column, &columns.$column))
                        .then_some(&columns.$column[..]),)*
                }
            }
        }

        impl Stored {
            fn over(self, columns: &mut Columns) {
                $(if let Some(column) = self.$column { columns.$column = column.into(); })*
            }
        }

        fn are_whole(columns: &Columns) -> bool {
            $(columns.$column.len() == columns.count())&&*
        }
    };
}

columns! {
    addresses: String,
    ips: Option<IpAddr>,
    names: String,
    name_hashes: u64,
    cores: u32,
    weights: u32,
    capacities: u32,
    sessions: u32,
    load1: f64,
    load5: f64,
    load15: f64,
    unseen5: f64,
    memory_total: u64,
    memory_available: u64,
    cpus_promised: f64,
    memory_promised: u64,
    labels: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
}

#[derive(Serialize)]
struct WrittenEntry<'s> {
    columns: Written<'s>,
    user_sessions: &'s [u32],
    request: &'s Request,
    nodes: &'s [NodeId],
    excluded: &'s [(Rule, String)],
    settings: &'s BTreeMap<String, String>,
    order: &'s [u32],
    scores: Option<&'s [f64]>,
}

#[derive(Deserialize)]
struct StoredEntry {
    columns: Stored,
    user_sessions: Vec<u32>,
    request: Request,
    nodes: Vec<NodeId>,
    #[serde(default)]
    excluded: Vec<(Rule, String)>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    order: Vec<u32>,
    scores: Option<Vec<f64>>,
}

/// A batch as it is kept.
pub fn encode<'s>(batch: impl Iterator<Item = &'s Shown>) -> Result<Vec<u8>, FormatError> {
    let mut stream = zstd::Encoder::new(vec![VERSION], LEVEL).map_err(damaged)?;
    stream.window_log(WINDOW_LOG).map_err(damaged)?;
    let mut before: Option<&Columns> = None;
    for shown in batch {
        let Question { nodes, user_sessions, request, .. } = &shown.question;
        let entry = WrittenEntry {
            columns: Written::new(nodes, before),
            user_sessions,
            request,
            nodes: &shown.nodes,
            excluded: &shown.excluded,
            settings: &shown.settings,
            order: &shown.order,
            scores: shown.scores.as_deref(),
        };
        rmp_serde::encode::write_named(&mut stream, &entry).map_err(damaged)?;
        before = Some(nodes);
    }
    stream.finish().map_err(damaged)
}

/// One decision of a batch. May take as long as unpacking all of it does.
pub fn decode(content: &[u8], position: usize) -> Result<Shown, FormatError> {
    let (version, packed) = content.split_first().ok_or_else(|| damaged("it is empty"))?;
    if *version != VERSION {
        return Err(FormatError::Version(*version));
    }
    let mut stream = zstd::Decoder::with_buffer(packed).map_err(damaged)?.take(LARGEST);
    let mut columns = Columns::default();
    let mut read = || -> Result<StoredEntry, FormatError> { rmp_serde::from_read(&mut stream).map_err(damaged) };
    for _ in 0..position {
        read()?.columns.over(&mut columns);
    }
    let entry = read()?;
    entry.columns.over(&mut columns);
    let count = columns.count();
    let is_node = |index: &u32| usize::try_from(*index).is_ok_and(|index| index < count);
    let is_scored = entry.scores.as_ref().is_none_or(|scores| scores.len() == count);
    let of_each = entry.user_sessions.len() == count && entry.nodes.len() == count;
    if !are_whole(&columns) || !of_each || !entry.order.iter().all(is_node) || !is_scored {
        return Err(damaged("its columns are not of one length"));
    }
    let question = Question {
        nodes: Arc::new(columns),
        user_sessions: entry.user_sessions.into(),
        request: entry.request,
        session: None,
    };
    Ok(Shown {
        question,
        nodes: entry.nodes.into(),
        excluded: entry.excluded.into(),
        settings: Arc::new(entry.settings),
        order: entry.order,
        scores: entry.scores,
    })
}

#[cfg(test)]
mod tests;
