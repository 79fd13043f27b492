//! What runs in the terminals of a session: what somebody has started there and may have left to itself.

use std::{collections::BTreeSet, path::Path};

use procfs::process::Stat;

use super::Table;

/// Where a system lists its shells.
const LIST: &str = "/etc/shells";
/// What is one though it may not be listed.
const KNOWN: &[&str] = &[
    "sh", "ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "mksh", "nu", "pwsh", "rbash", "tcsh", "xonsh", "zsh",
];

/// The names of shells' executables.
#[derive(Debug)]
pub(in crate::launcher) struct Shells(BTreeSet<String>);

impl Shells {
    /// Those that this machine lists, beside those that everybody knows.
    pub(in crate::launcher) fn read() -> Self {
        Self::listed(&std::fs::read_to_string(LIST).unwrap_or_default())
    }

    fn listed(list: &str) -> Self {
        let paths = list.lines().map(str::trim).filter(|line| line.starts_with('/'));
        let listed = paths.filter_map(|path| Path::new(path).file_name()?.to_str());
        Self(listed.chain(KNOWN.iter().copied()).map(str::to_owned).collect())
    }

    /// Whether a process only waits for a command: a shell that leads its terminal's session and is in its foreground.
    fn waits(&self, stat: &Stat) -> bool {
        stat.session == stat.pid && stat.tpgid == stat.pgrp && self.0.contains(&stat.comm)
    }
}

impl Table {
    /// What runs in a terminal below a process, beside shells that wait for a command: its name, of letters that can be
    /// shown. An error where the machine's processes are not all known.
    pub(in crate::launcher) fn in_terminals_below(&self, root: i32, shells: &Shells) -> Result<Option<String>, String> {
        if let Some(problem) = &self.problem {
            return Err(format!("the machine's processes cannot be read: {problem}"));
        }
        if self.all.iter().all(|stat| stat.pid != root) {
            return Err(format!("the machine's processes cannot be read: {root}, its supervisor, is not among them"));
        }
        let below = self.below(root);
        let command = below.iter().find(|stat| stat.tty_nr != 0 && !shells.waits(stat));
        let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        Ok(command.map(|command| command.comm.chars().map(shown).take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process as the kernel shows it, in its terminal's foreground where it has one.
    fn stat(pid: i32, ppid: i32, session: i32, tty: i32, comm: &str, state: char) -> Stat {
        in_front(session, pid, ppid, session, tty, comm, state)
    }

    /// One in whose terminal that group is in the foreground.
    fn in_front(front: i32, pid: i32, ppid: i32, session: i32, tty: i32, comm: &str, state: char) -> Stat {
        let line = format!(
            "{pid} ({comm}) {state} {ppid} {session} {session} {tty} {front} 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 \
             0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0"
        );
        procfs::FromRead::from_read(line.as_bytes()).unwrap()
    }

    fn busy(table: &Table) -> Result<Option<String>, String> {
        table.in_terminals_below(1, &Shells::listed("# shells\n/usr/bin/rc\n"))
    }

    #[test]
    fn a_terminal_is_busy_with_what_its_shell_has_started() {
        let shells = || {
            vec![
                stat(1, 0, 1, 0, "evenkeel", 'S'),
                stat(10, 1, 10, 0, "jupyter-lab", 'S'),
                stat(11, 10, 11, 34816, "bash", 'S'),
            ]
        };
        let busy = |more: Vec<Stat>| busy(&Table::of([shells(), more].concat(), None)).unwrap();
        assert_eq!(busy(vec![]), None, "a shell that waits");
        let kernel = stat(12, 10, 12, 0, "python3", 'R');
        assert_eq!(busy(vec![kernel]), None, "a kernel has no terminal");
        let command = stat(13, 11, 11, 34816, "make (x) \u{7}", 'T');
        assert_eq!(busy(vec![command]).as_deref(), Some("make?(x)??"));
        let over = stat(13, 11, 11, 34816, "make", 'Z');
        assert_eq!(busy(vec![over]), None, "it is over");
        let elsewhere = stat(14, 2, 11, 34816, "vim", 'S');
        assert_eq!(busy(vec![elsewhere]), None, "another session's");
        let orphan = stat(15, 1, 11, 34816, "tar", 'R');
        assert_eq!(busy(vec![orphan]).as_deref(), Some("tar"), "its shell is gone");
        let script = stat(16, 11, 11, 34816, "bash", 'S');
        assert_eq!(busy(vec![script]).as_deref(), Some("bash"), "a shell's shell");
    }

    #[test]
    fn what_leads_a_terminal_waits_only_as_a_shell_in_its_foreground() {
        let alone = |leader: Stat| busy(&Table::of(vec![stat(1, 0, 1, 0, "evenkeel", 'S'), leader], None)).unwrap();
        assert_eq!(alone(stat(11, 1, 11, 34816, "zsh", 'S')), None);
        assert_eq!(alone(stat(11, 1, 11, 34816, "rc", 'S')), None, "the machine lists it");
        // What a task's `bash -c` has become.
        assert_eq!(alone(stat(11, 1, 11, 34816, "python", 'S')).as_deref(), Some("python"));
        assert_eq!(alone(in_front(12, 11, 1, 11, 34816, "bash", 'S')).as_deref(), Some("bash"));
    }

    #[test]
    fn what_cannot_be_seen_is_not_taken_for_nothing() {
        let supervisor = || stat(1, 0, 1, 0, "evenkeel", 'S');
        assert_eq!(busy(&Table::of(vec![supervisor()], None)), Ok(None));
        let unreadable = busy(&Table::of(vec![supervisor()], Some("too many open files".to_owned()))).unwrap_err();
        assert_eq!(unreadable, "the machine's processes cannot be read: too many open files");
        let hidden = busy(&Table::of(vec![stat(2, 0, 2, 0, "sh", 'S')], None)).unwrap_err();
        assert_eq!(hidden, "the machine's processes cannot be read: 1, its supervisor, is not among them");
    }

    #[test]
    fn this_machines_processes_can_be_read() {
        let own = std::process::id().cast_signed();
        Table::read().in_terminals_below(own, &Shells::read()).unwrap();
    }
}
