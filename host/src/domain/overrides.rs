//! What an administrator sets of a node by command; it goes before the node's own files until it is unset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// The node's weight.
    pub weight: Option<u32>,
    /// The most sessions that it takes; [`u32::MAX`] for no limit.
    pub capacity: Option<u32>,
    /// Labels, which take the place of the node's own with the same key.
    pub labels: BTreeMap<String, String>,
}

/// What is to be set, `Some(Some(…))`, or unset, `Some(None)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverridesChange {
    /// As in [`Overrides`].
    pub weight: Option<Option<u32>>,
    /// As in [`Overrides`].
    pub capacity: Option<Option<u32>>,
    /// As in [`Overrides`], by key.
    pub labels: BTreeMap<String, Option<String>>,
}

impl Overrides {
    /// Sets and unsets.
    pub fn change(&mut self, change: &OverridesChange) {
        if let Some(weight) = change.weight {
            self.weight = weight;
        }
        if let Some(capacity) = change.capacity {
            self.capacity = capacity;
        }
        for (key, value) in &change.labels {
            match value {
                Some(value) => _ = self.labels.insert(key.clone(), value.clone()),
                None => _ = self.labels.remove(key),
            }
        }
    }

    /// The weight that holds, where the node's own is this.
    pub fn weight(&self, own: u32) -> u32 {
        self.weight.unwrap_or(own)
    }

    /// The capacity that holds.
    pub fn capacity(&self, own: Option<u32>) -> Option<u32> {
        self.capacity.or(own).filter(|capacity| *capacity != u32::MAX)
    }

    /// The labels that hold.
    pub fn labels(&self, mut own: BTreeMap<String, String>) -> BTreeMap<String, String> {
        own.extend(self.labels.clone());
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_set_goes_before_what_the_node_says_until_it_is_unset() {
        let mut set = Overrides::default();
        assert_eq!((set.weight(100), set.capacity(Some(3)), set.capacity(None)), (100, Some(3), None));
        set.change(&OverridesChange {
            weight: Some(Some(50)),
            capacity: Some(Some(u32::MAX)),
            labels: [("gpu".to_owned(), Some("a100".to_owned())), ("none".to_owned(), None)].into(),
        });
        assert_eq!((set.weight(100), set.capacity(Some(3))), (50, None));
        assert_eq!(set.labels(labels(&[("gpu", "t4"), ("team", "x")])), labels(&[("gpu", "a100"), ("team", "x")]));
        set.change(&OverridesChange { capacity: Some(Some(0)), ..OverridesChange::default() });
        assert_eq!((set.weight(100), set.capacity(Some(3))), (50, Some(0)));
        set.change(&OverridesChange {
            weight: Some(None),
            capacity: Some(None),
            labels: [("gpu".to_owned(), None)].into(),
        });
        assert_eq!(set, Overrides::default());
    }

    #[test]
    fn what_is_stored_reads_back_also_where_a_field_is_missing_or_unknown() {
        let set = Overrides { weight: Some(7), labels: labels(&[("a", "b")]), ..Overrides::default() };
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<Overrides>(&text).unwrap(), set);
        assert_eq!(serde_json::from_str::<Overrides>(r#"{"colour": 1}"#).unwrap(), Overrides::default());
    }
}
