//! Whether the nodes of a cluster place by one balancer.

use std::collections::BTreeMap;

/// Nodes that are named of those that place by one module.
const NAMES: usize = 10;

/// What is wrong where the nodes, each its name and the SHA-256 of the module it places by, place by several: a sentence
/// that names them. None where they agree.
pub fn disagreement<'n>(nodes: impl IntoIterator<Item = (&'n str, Option<&'n str>)>) -> Option<String> {
    let mut parties: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (name, digest) in nodes {
        parties.entry(digest).or_default().push(name);
    }
    if parties.len() < 2 {
        return None;
    }
    let mut parties: Vec<_> = parties.into_iter().collect();
    // The most first: those are likely as they should be.
    parties.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let party = |(digest, names): &(Option<&str>, Vec<&str>)| {
        let more = match names.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let module = digest.map_or_else(|| "no module".to_owned(), |digest| digest.chars().take(12).collect());
        format!("{}{more} by {module}", names[..names.len().min(NAMES)].join(", "))
    };
    let parties: Vec<_> = parties.iter().map(party).collect();
    Some(format!("nodes place by different balancers: {}", parties.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_agree_are_not_told_apart() {
        assert_eq!(disagreement([]), None);
        assert_eq!(disagreement([("a", None), ("b", None)]), None);
        assert_eq!(disagreement([("a", Some("ff")), ("b", Some("ff"))]), None);
    }

    #[test]
    fn nodes_that_place_by_other_modules_are_named_with_them_the_most_first() {
        let nodes = [("a", Some("0123456789abcdef")), ("b", None), ("c", Some("ff")), ("d", Some("ff"))];
        let told = "nodes place by different balancers: c, d by ff; b by no module; a by 0123456789ab";
        assert_eq!(disagreement(nodes).as_deref(), Some(told));
        let names: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
        let many = names.iter().map(|name| (name.as_str(), Some("ff"))).chain([("x", Some("ee"))]);
        let told = disagreement(many).unwrap();
        assert!(told.ends_with("n8, n9 and 2 more by ff; x by ee"), "{told}");
    }
}
