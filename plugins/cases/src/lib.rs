//! Decision cases: questions to a balancer and what it must answer, as files. `README.md` fixes the format.

use std::{collections::BTreeMap, path::Path};

use sha2::{Digest, Sha256};

mod file;
mod number;

pub use file::{Case, Expect, File, Node, Request};

/// What a case asks: columns, item i about node i, and the rest.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Question {
    pub names: Vec<String>,
    /// The low 64 bits of the CityHash128 of each name.
    pub name_hashes: Vec<u64>,
    pub cores: Vec<u32>,
    pub weights: Vec<u32>,
    pub sessions: Vec<u32>,
    pub load1: Vec<f64>,
    pub load5: Vec<f64>,
    pub unseen5: Vec<f64>,
    /// The same nodes, whole.
    pub nodes: Vec<Node>,
    pub request: Request,
    /// What the administrator set.
    pub settings: BTreeMap<String, String>,
}

/// What a balancer answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// `check` refused the settings.
    Refused(String),
    /// `rank` declined the session.
    Declined(String),
    /// `rank` failed.
    Failed(String),
    /// It named nodes.
    Ranked {
        /// Indexes of nodes, best first.
        order: Vec<u32>,
        /// One a node.
        scores: Option<Vec<f64>>,
        /// The reason.
        reason: Option<String>,
    },
}

/// Asks every case of one file and compares the answers. Returns how many questions were asked; the error lists every
/// case that was answered otherwise.
pub fn run(file: &Path, mut balancer: impl FnMut(&Question) -> Outcome) -> Result<usize, String> {
    let cases = File::read(file)?;
    let (mut asked, mut wrong) = (0, Vec::new());
    for case in &cases.case {
        for nodes in case.orders() {
            let question = Question::new(nodes, case);
            asked += 1;
            if let Err(difference) = case.compare(&question, &balancer(&question)) {
                wrong.push(format!("{}: {} (nodes {:?}): {difference}", file.display(), case.name, question.names));
            }
        }
    }
    match (asked, wrong.is_empty()) {
        (0, _) => Err(format!("{}: no case", file.display())),
        (_, true) => Ok(asked),
        (_, false) => Err(wrong.join("\n")),
    }
}

impl File {
    /// Reads a file; the error names it, and the line where it has one.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
        Self::from_text(&text).map_err(|error| at(&error))
    }

    /// Reads a file's text.
    pub fn from_text(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file's text.
    pub fn to_text(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }
}

impl Question {
    /// What a case asks where its nodes come in this order.
    pub fn new(nodes: Vec<Node>, case: &Case) -> Self {
        fn column<T>(nodes: &[Node], of: impl Fn(&Node) -> T) -> Vec<T> {
            nodes.iter().map(of).collect()
        }
        Self {
            names: column(&nodes, |node| node.name.clone()),
            name_hashes: column(&nodes, |node| name_hash(&node.name)),
            cores: column(&nodes, |node| node.cores),
            weights: column(&nodes, |node| node.weight),
            sessions: column(&nodes, |node| node.sessions),
            load1: column(&nodes, |node| node.load1),
            load5: column(&nodes, |node| node.load5),
            unseen5: column(&nodes, |node| node.unseen5),
            nodes,
            request: case.request.clone(),
            settings: case.settings.clone(),
        }
    }
}

/// The low 64 bits of the CityHash128 of a node's name. The crate has the reference implementation's low word in the
/// upper half.
pub fn name_hash(name: &str) -> u64 {
    (cityhash_rs::cityhash_110_128(name.as_bytes()) >> 64) as u64
}

/// The SHA-256 of bytes, hexadecimal: for files that must not change.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_a_name_and_nothing_else() {
        let file = |node: &str| format!("balancer = \"b\"\n[[case]]\nname = \"c\"\nnodes = [{node}]\n");
        let read = File::from_text(&file("{ name = \"a\" }")).expect("it is read");
        assert_eq!(read.case[0].nodes, [Node { name: "a".to_owned(), ..Node::default() }]);
        let error = File::from_text(&file("{ cores = 8 }")).expect_err("it has no name");
        assert!(error.contains("missing field `name`"), "{error}");
    }

    /// From the reference implementation's own tests: `testdata[0]`, the empty input.
    #[test]
    fn the_name_hash_is_the_low_word_of_the_reference_implementation() {
        assert_eq!(name_hash(""), 0x3df0_9dfc_64c0_9a2b);
    }
}
