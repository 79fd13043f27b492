//! What counts to limits: the live sessions of each user, of each group's members, and of all.

use std::collections::HashMap;

use crate::domain::{
    Allowance, LimitReached, Usage,
    limit::{Limit, Over},
};

/// Live sessions and reservations, added up.
#[derive(Debug, Default)]
pub struct Counted {
    users: HashMap<String, Usage>,
    groups: HashMap<String, Usage>,
    all: Usage,
}

impl Counted {
    /// Counts one session.
    pub fn add(&mut self, user: &str, groups: &[String], usage: Usage) {
        self.all = self.all.and(usage);
        add(&mut self.users, user, usage);
        for group in groups {
            add(&mut self.groups, group, usage);
        }
    }

    /// An error where a session of `user` with `asked` would exceed what is allowed, with the first limit that it would.
    pub fn check(&self, user: &str, allowance: &Allowance, asked: Usage) -> Result<(), LimitReached> {
        let check = |limit: &Limit| {
            let present = match &limit.over {
                Over::Session => Usage::default(),
                Over::User => self.users.get(user).copied().unwrap_or_default(),
                Over::Group(group) => self.groups.get(group).copied().unwrap_or_default(),
                Over::Everybody => self.all,
            };
            limit.check(user, present.amount(limit.quantity), asked.amount(limit.quantity))
        };
        allowance.limits.iter().try_for_each(check)
    }
}

fn add(counts: &mut HashMap<String, Usage>, name: &str, usage: Usage) {
    match counts.get_mut(name) {
        Some(sum) => *sum = sum.and(usage),
        None => drop(counts.insert(name.to_owned(), usage)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::Quantity;

    fn allowance(over: Over, quantity: Quantity, most: u64) -> Allowance {
        let limit = Limit { setting: "session-limit", section: "[*]".to_owned(), over, quantity, most };
        Allowance { limits: vec![limit], ..Allowance::default() }
    }

    #[test]
    fn sessions_count_to_their_user_to_each_of_their_groups_and_to_all() {
        let mut counted = Counted::default();
        let [staff, lab] = ["staff".to_owned(), "lab".to_owned()];
        counted.add("ada", &[staff.clone(), lab], Usage::of(1.5, 100));
        counted.add("bob", &[staff], Usage::of(0.5, 50));
        let present = |over, quantity| {
            let reached = counted.check("ada", &allowance(over, quantity, 1), Usage::of(1.0, 1)).expect_err("reached");
            reached.present
        };
        let group = |name: &str| Over::Group(name.to_owned());
        assert_eq!(present(Over::User, Quantity::Sessions), 1);
        assert_eq!(present(Over::User, Quantity::Cpus), 1500);
        assert_eq!(present(group("staff"), Quantity::Sessions), 2);
        assert_eq!(present(group("staff"), Quantity::Memory), 150);
        assert_eq!(present(group("lab"), Quantity::Memory), 100);
        assert_eq!(present(Over::Everybody, Quantity::Cpus), 2000);
        assert_eq!(counted.check("eve", &allowance(Over::User, Quantity::Sessions, 1), Usage::of(9.0, 9)), Ok(()));
        assert_eq!(counted.check("ada", &allowance(group("none"), Quantity::Sessions, 1), Usage::of(9.0, 9)), Ok(()));
        // What a single session may have does not depend on the others.
        assert_eq!(counted.check("ada", &allowance(Over::Session, Quantity::Memory, 9), Usage::of(0.0, 9)), Ok(()));
    }
}
