//! What is asked of the host only where a policy looks: values by a key, and texts, which cost most to hand over.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

/// A text of one node: the test's own, or asked of the host, for all nodes together, at the first look.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Own(String),
    Host { column: Rc<Texts>, node: usize },
}

/// A column of texts.
#[derive(Debug)]
pub(crate) struct Texts {
    fetch: fn() -> Vec<String>,
    fetched: OnceCell<Vec<String>>,
}

impl Texts {
    pub(crate) fn new(fetch: fn() -> Vec<String>) -> Rc<Self> {
        Rc::new(Self { fetch, fetched: OnceCell::new() })
    }
}

impl Text {
    pub(crate) fn get(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Host { column, node } => {
                column.fetched.get_or_init(column.fetch).get(*node).map(String::as_str).unwrap_or_default()
            }
        }
    }
}

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
    fn texts_are_asked_of_the_host_at_the_first_look_and_once() {
        thread_local!(static ASKED: RefCell<u32> = const { RefCell::new(0) });
        let column = Texts::new(|| {
            ASKED.with(|asked| *asked.borrow_mut() += 1);
            vec!["a".to_owned(), "b".to_owned()]
        });
        let text = |node| Text::Host { column: Rc::clone(&column), node };
        let (first, second, third) = (text(0), text(1), text(2));
        assert_eq!(ASKED.with(|asked| *asked.borrow()), 0);
        assert_eq!((first.get(), second.get(), third.get()), ("a", "b", ""));
        assert_eq!(ASKED.with(|asked| *asked.borrow()), 1);
    }

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
