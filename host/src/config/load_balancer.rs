//! The file `load-balancer`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use super::{
    Problem,
    file::{Entry, File, NODES},
    reader::{self, Reader},
};
use crate::domain::HostPort;

/// Names in a section `[balancer NAME]` that begin so are the host's; the others are the balancer's own settings.
pub const RESERVED: &str = "balancer-";

/// What the host grants one balancer, where that is not what all have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BalancerOptions {
    /// `balancer-timeout-ms`: the deadline of its decisions.
    pub timeout: Option<Duration>,
    /// `balancer-memory-mb`: the memory of an instance, bytes.
    pub memory: Option<usize>,
    /// `balancer-module-mb`: the most that its file may have, bytes.
    pub module: Option<usize>,
    /// `balancer-stack-kb`: the stack of an instance, bytes.
    pub stack: Option<usize>,
    /// `balancer-table-elements`: elements of one table of an instance.
    pub table: Option<usize>,
    /// `balancer-instances`: core instances of one instance of a component.
    pub instances: Option<usize>,
    /// `balancer-tables`: tables of one instance of a component.
    pub tables: Option<usize>,
    /// `balancer-answer-kb`: what it may hand over in one call, bytes.
    pub handover: Option<usize>,
    /// `balancer-log-lines`: lines kept of one decision's log.
    pub log_lines: Option<usize>,
    /// `balancer-log-line-bytes`: bytes kept of a line.
    pub log_line: Option<usize>,
    /// `balancer-fallback`: asked where it cannot decide, or `refuse`.
    pub fallback: Option<String>,
}

/// What `load-balancer` says.
#[derive(Default)]
pub(super) struct Policy {
    pub(super) balancer: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) script: Option<PathBuf>,
    pub(super) script_timeout: Option<Duration>,
    pub(super) fallback: Option<String>,
    pub(super) shadow: Option<String>,
    pub(super) plugins_dir: Option<PathBuf>,
    pub(super) sha256: Vec<String>,
    pub(super) records: Option<u32>,
    pub(super) www_host_name: Option<HostPort>,
    pub(super) delete_node_on_exit: Option<bool>,
    pub(super) peer_timeout: Option<Duration>,
    pub(super) settings: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) options: BTreeMap<String, BalancerOptions>,
}

impl Policy {
    pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> Self {
        let mut policy = Self::default();
        let given = file.entries.iter().map(|entry| entry.section.as_deref());
        let sections: BTreeSet<_> = std::iter::once(None).chain(given).collect();
        for section in sections {
            match section {
                Some(NODES) => answer_nodes(file, problems),
                None => policy.read_settings(file, problems),
                Some(other) => match other.strip_prefix("balancer ") {
                    Some(name) => policy.read_balancer(file, other, name, problems),
                    None => {
                        let first = file.entries.iter().find(|entry| entry.section.as_deref() == Some(other));
                        let message = format!("there is no section [{other}]; there are [balancer NAME] and [config]");
                        problems.push(Problem::warning(&file.path, first.map_or(0, |entry| entry.line), message));
                    }
                },
            }
        }
        policy
    }

    fn read_settings(&mut self, file: &File, problems: &mut Vec<Problem>) {
        let mut reader = Reader::new(file, None, problems);
        self.balancer = reader.take("balancer", reader::text);
        self.timeout = reader.take("balancer-timeout-ms", TIMEOUT);
        self.script = reader.take("balancer-script", reader::path);
        // A launch is given up after 30 s: there must be time for whoever answers in the script's place.
        self.script_timeout = reader.take("balancer-timeout", reader::seconds(1, 20));
        self.fallback = reader.take("balancer-fallback", reader::text);
        self.shadow = reader.take("balancer-shadow", reader::text);
        self.plugins_dir = reader.take("plugins-dir", reader::path);
        self.sha256 = reader.take("plugins-sha256", digests).unwrap_or_default();
        self.records = reader.take("placement-records-mb", reader::number(0, 1 << 20));
        self.www_host_name = reader.take("www-host-name", reader::host);
        self.delete_node_on_exit = reader.take("delete-node-on-exit", reader::switch);
        self.peer_timeout = reader.take("timeout", reader::seconds(1, 60));
        reader.finish();
    }

    fn read_balancer(&mut self, file: &File, section: &str, name: &str, problems: &mut Vec<Problem>) {
        let mut reader = Reader::new(file, Some(section), problems);
        let options = BalancerOptions {
            timeout: reader.take("balancer-timeout-ms", TIMEOUT),
            memory: reader.take("balancer-memory-mb", reader::number(1, 4096)).map(|number| (number as usize) << 20),
            module: reader.take("balancer-module-mb", reader::number(1, 1024)).map(|number| (number as usize) << 20),
            stack: reader.take("balancer-stack-kb", reader::number(64, 8192)).map(|number| (number as usize) << 10),
            table: reader.take("balancer-table-elements", reader::number(1, 1 << 20)).map(|number| number as usize),
            instances: reader.take("balancer-instances", reader::number(1, 64)).map(|number| number as usize),
            tables: reader.take("balancer-tables", reader::number(1, 16)).map(|number| number as usize),
            handover: reader
                .take("balancer-answer-kb", reader::number(1, 65_536))
                .map(|number| (number as usize) << 10),
            log_lines: reader.take("balancer-log-lines", reader::number(0, 1000)).map(|number| number as usize),
            log_line: reader.take("balancer-log-line-bytes", reader::number(16, 65_536)).map(|number| number as usize),
            fallback: reader.take("balancer-fallback", reader::text),
        };
        let own = reader.take_others(RESERVED);
        reader.finish();
        self.options.insert(name.to_owned(), options);
        self.settings.insert(name.to_owned(), own);
    }
}

/// The nodes that the oldest form of the file lists.
pub(super) fn listed(file: &File) -> impl Iterator<Item = &Entry> {
    file.entries.iter().filter(|entry| entry.section.as_deref() == Some(NODES) && entry.value.is_empty())
}

fn answer_nodes(file: &File, problems: &mut Vec<Problem>) {
    if let Some(first) = listed(file).next() {
        let names: Vec<_> = listed(file).map(|entry| entry.name.as_str()).collect();
        let message = format!(
            "[{NODES}] has no effect here: nodes register themselves ({}); www-host-name says where one is reached",
            names.join(", ")
        );
        problems.push(Problem::warning(&file.path, first.line, message));
    }
    for entry in file.entries.iter().filter(|entry| entry.section.as_deref() == Some(NODES) && !entry.value.is_empty())
    {
        let message = format!("{} is not read here: settings stand before [{NODES}], or below [config]", entry.name);
        problems.push(Problem::warning(&file.path, entry.line, message));
    }
}

/// A balancer's deadline.
const TIMEOUT: fn(&str) -> Result<Duration, String> = |value| reader::milliseconds(1, 10_000)(value);

fn digests(value: &str) -> Result<Vec<String>, String> {
    let is_one = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let listed: Vec<_> = value.split(',').map(|text| text.trim().to_lowercase()).collect();
    if listed.iter().all(|text| is_one(text)) {
        Ok(listed)
    } else {
        Err("SHA-256 digests of 64 hexadecimal digits, separated by commas".to_owned())
    }
}
