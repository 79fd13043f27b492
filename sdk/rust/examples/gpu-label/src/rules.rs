//! Which groups may use which GPUs, as an administrator writes it.

use std::collections::BTreeMap;

/// The labels' values that each group may use, best first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(BTreeMap<String, Vec<String>>);

impl Rules {
    /// Reads `GROUP=VALUE+VALUE, GROUP=VALUE`; nothing where it is not of that form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut rules = BTreeMap::new();
        for rule in text.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let (group, values) = rule.split_once('=')?;
            let (group, values) = (group.trim(), values.split('+').map(|value| value.trim().to_owned()));
            let values: Vec<String> = values.collect();
            let whole = !group.is_empty() && values.iter().all(|value| !value.is_empty());
            if !whole || rules.insert(group.to_owned(), values).is_some() {
                return None;
            }
        }
        Some(Self(rules))
    }

    /// What members of these groups may use, best first: the first group's rule, then the next one's.
    pub(crate) fn allowed(&self, groups: &[String]) -> Vec<&str> {
        groups.iter().filter_map(|group| self.0.get(group)).flatten().map(String::as_str).collect()
    }

    /// The groups that may use this value, in order of their names.
    pub(crate) fn groups(&self, value: &str) -> Vec<&str> {
        let may = self.0.iter().filter(|(_, values)| values.iter().any(|allowed| allowed == value));
        may.map(|(group, _)| group.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_values_best_first() {
        let rules = Rules::read("ml = h100 + a100, vision=t4,").unwrap();
        let groups = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(rules.allowed(&groups(&["staff", "vision", "ml"])), ["t4", "h100", "a100"]);
        assert!(rules.allowed(&groups(&["staff"])).is_empty());
        assert_eq!((rules.groups("a100"), rules.groups("l4")), (vec!["ml"], vec![]));
        assert_eq!(Rules::read(" "), Some(Rules::default()));
    }

    #[test]
    fn what_is_no_rule_is_not_taken_for_one() {
        for text in ["ml", "=a100", "ml=", "ml=a100+", "ml=a100, ml=t4", "ml a100"] {
            assert_eq!(Rules::read(text), None, "{text}");
        }
    }
}
