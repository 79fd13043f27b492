//! Look-ups in the system's name service. They may block for as long as that likes: for the time before serving starts,
//! and for threads that nobody waits for.

use std::ffi::CString;

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User, getgrouplist},
};

use super::{Account, Group};

/// Longer names are nobody's.
const LONGEST_NAME: usize = 256;

/// The account of this name.
pub fn by_name(name: &str) -> nix::Result<Option<Account>> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Ok(None);
    }
    found(User::from_name(name))
}

/// The account with this user id.
pub fn by_uid(uid: u32) -> nix::Result<Option<Account>> {
    found(User::from_uid(Uid::from_raw(uid)))
}

/// Every group of an account, its primary one first.
pub fn memberships(name: &str, gid: u32) -> nix::Result<Vec<Group>> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let mut gids = getgrouplist(&name, Gid::from_raw(gid))?;
    // The system makes no promise of the order.
    gids.sort_by_key(|found| (found.as_raw() != gid, found.as_raw()));
    gids.dedup();
    gids.into_iter().map(named).collect()
}

fn named(gid: Gid) -> nix::Result<Group> {
    let group = absent(nix::unistd::Group::from_gid(gid))?;
    Ok(Group { gid: gid.as_raw(), name: group.map(|group| group.name) })
}

fn found(user: nix::Result<Option<User>>) -> nix::Result<Option<Account>> {
    let account = |user: User| Account {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
        shell: user.shell,
    };
    Ok(absent(user)?.map(account))
}

/// Some sources of names say by an error that there is no such entry.
fn absent<T>(result: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match result {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_id() {
        let root = by_name("root").unwrap().expect("every system has it");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(by_uid(0).unwrap(), Some(root));
        let daemon = by_name("daemon").unwrap().expect("every system has it");
        assert!(!daemon.may_log_in(), "{daemon:?}");
        for nobody in ["no-such-account", "", "a\nb", "a\0b", &"x".repeat(1000)] {
            assert_eq!(by_name(nobody).unwrap(), None, "{nobody:?}");
        }
        assert_eq!(by_uid(4_000_000_000).unwrap(), None);
    }

    #[test]
    fn the_primary_group_comes_first_even_where_it_has_no_name() {
        let root = memberships("root", 0).unwrap();
        assert_eq!(root[0], Group { gid: 0, name: Some("root".into()) });
        let odd = memberships("root", 4_000_000_000).unwrap();
        assert_eq!(odd[0], Group { gid: 4_000_000_000, name: None });
    }
}
