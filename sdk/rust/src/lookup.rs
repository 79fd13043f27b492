//! Values that are looked up by a key which only the policy knows.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// One node's (or the request's) share of values by key: the test's own, or asked of the host at the first look.
#[derive(Clone, Debug)]
pub(crate) enum Lookup<T> {
    Own(BTreeMap<String, T>),
    Host { columns: Rc<Columns<T>>, node: usize },
}

/// Columns by key, each asked of the host once.
#[derive(Debug)]
pub(crate) struct Columns<T> {
    fetch: fn(&str) -> Vec<Option<T>>,
    fetched: RefCell<BTreeMap<String, Vec<Option<T>>>>,
}

impl<T> Columns<T> {
    pub(crate) fn new(fetch: fn(&str) -> Vec<Option<T>>) -> Rc<Self> {
        Rc::new(Self { fetch, fetched: RefCell::default() })
    }
}

impl<T: Clone> Lookup<T> {
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        match self {
            Self::Own(values) => values.get(key).cloned(),
            Self::Host { columns, node } => {
                let mut fetched = columns.fetched.borrow_mut();
                if !fetched.contains_key(key) {
                    fetched.insert(key.to_owned(), (columns.fetch)(key));
                }
                fetched.get(key)?.get(*node)?.clone()
            }
        }
    }

    /// Sets a value of one's own; what came from the host is left behind.
    pub(crate) fn set(&mut self, key: &str, value: T) {
        if let Self::Host { .. } = self {
            *self = Self::default();
        }
        if let Self::Own(values) = self {
            values.insert(key.to_owned(), value);
        }
    }
}

impl<T> Default for Lookup<T> {
    fn default() -> Self {
        Self::Own(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_asked_of_the_host_once_and_each_node_sees_its_own_item() {
        thread_local!(static ASKED: RefCell<u32> = const { RefCell::new(0) });
        let columns = Columns::new(|key| {
            ASKED.with(|asked| *asked.borrow_mut() += 1);
            if key == "zone" { vec![Some(1), None] } else { vec![None, None] }
        });
        let first = Lookup::Host { columns: Rc::clone(&columns), node: 0 };
        let second = Lookup::Host { columns, node: 1 };
        assert_eq!((first.get("zone"), second.get("zone"), first.get("rack")), (Some(1), None, None));
        assert_eq!(ASKED.with(|asked| *asked.borrow()), 2);
    }
}
