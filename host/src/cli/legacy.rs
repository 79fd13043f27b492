//! The commands of `rstudio-server`, as its administrators know them: a link of that name takes them.

use std::{ffi::OsString, path::Path};

/// The name under which the program takes them.
pub(super) const NAME: &str = "rstudio-server";

/// What becomes of a legacy command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It is called so here too.
    Same,
    /// These words are what it is here.
    Words(&'static [&'static str]),
    /// There is none; what takes its place.
    None(&'static str),
}

use Answer::{None as Never, Same, Words};

const UNIT: &str =
    "a daemon is started and stopped by its unit: systemctl {start|stop|restart|status} evenkeel; its sessions go on";
const SUSPEND: Answer = Words(&["sessions", "suspend"]);
const SUSPEND_ALL: Answer = Words(&["sessions", "suspend", "--all", "--user", "*", "--here"]);

const USERS: &str = "users are the accounts of the system; auth-required-user-group in rserver.conf says who signs in";

const COMMANDS: [(&str, Answer); 32] = [
    ("list-nodes", Same),
    ("delete-node", Same),
    ("encrypt-password", Same),
    ("active-sessions", Words(&["sessions", "--user", "*"])),
    ("test-config", Words(&["config", "check"])),
    ("version", Words(&["--version"])),
    ("help", Words(&["--help"])),
    ("node-status", Same),
    ("reset-cluster", Same),
    ("online", Same),
    ("offline", Same),
    ("start", Never(UNIT)),
    ("stop", Never(UNIT)),
    ("restart", Never(UNIT)),
    ("status", Never(UNIT)),
    ("reload", Never("`systemctl reload evenkeel`, which sends SIGHUP, has the daemon read its configuration again")),
    ("suspend-session", SUSPEND),
    ("suspend-all", SUSPEND_ALL),
    ("force-suspend-session", SUSPEND),
    ("force-suspend-all", SUSPEND_ALL),
    ("kill-session", Words(&["sessions", "end"])),
    ("kill-all", Words(&["sessions", "end", "--all", "--user", "*", "--here"])),
    ("verify-installation", Never("`config check` reads everything that the daemon would")),
    (
        "run-diagnostics",
        Never("`config check` reads everything that the daemon would, and the daemon logs to its journal"),
    ),
    ("license-manager", Never("there is no licence to activate")),
    (
        "configure-vs-code",
        Never("VS Code is offered where code-server is found on PATH, or kinds/vscode.toml says where it is"),
    ),
    ("install-vs-code", Never("install code-server; VS Code is offered where it is found on PATH")),
    ("list-users", Never(USERS)),
    ("add-user", Never(USERS)),
    ("lock-user", Never(USERS)),
    ("unlock-user", Never(USERS)),
    ("upgrade-database", Never("the daemon brings the registry up to date when it starts")),
];

/// The arguments to parse: those of a legacy command as they are here, and any others untouched. An error says what takes
/// the place of a command that there is not.
pub(super) fn arguments(given: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let is_legacy = given.first().and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME);
    let Some(command) = given.get(1).and_then(|word| word.to_str()).filter(|_| is_legacy) else { return Ok(given) };
    match COMMANDS.iter().find(|(name, _)| *name == command) {
        None | Some((_, Same)) => Ok(given),
        Some((_, Words(words))) => {
            let words = words.iter().map(OsString::from);
            Ok(given.iter().take(1).cloned().chain(words).chain(given.iter().skip(2).cloned()).collect())
        }
        Some((_, Never(instead))) => Err(format!("there is no {command} here: {instead}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Arguments;

    fn of(words: &[&str]) -> Result<Vec<String>, String> {
        let read = arguments(words.iter().map(OsString::from).collect());
        read.map(|words| words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn every_legacy_command_is_one_of_ours_or_says_what_takes_its_place() {
        let ours: Vec<_> =
            Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for (name, answer) in COMMANDS {
            let process = name.ends_with("-session").then_some("12345");
            let words: Vec<_> = ["/usr/sbin/rstudio-server", name].into_iter().chain(process).collect();
            let arguments = of(&words);
            match answer {
                Never(_) => assert!(arguments.is_err_and(|why| why.starts_with(&format!("there is no {name} here: ")))),
                Same => assert!(ours.contains(&arguments.unwrap()[1]), "{name}"),
                Words(_) => {
                    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
                    let kind = Arguments::try_parse_from(arguments.unwrap()).err().map(|error| error.kind());
                    assert!(matches!(kind, None | Some(DisplayHelp | DisplayVersion)), "{name}: {kind:?}");
                }
            }
            assert!(matches!(answer, Same) || !ours.iter().any(|ours| ours == name), "{name} is one of ours");
        }
    }

    #[test]
    fn what_follows_a_command_stays_and_the_programs_own_name_takes_no_legacy_commands() {
        let legacy = of(&["rstudio-server", "test-config", "--config-dir", "/etc/rstudio"]);
        assert_eq!(legacy.unwrap(), ["rstudio-server", "config", "check", "--config-dir", "/etc/rstudio"]);
        assert_eq!(of(&["evenkeel", "test-config"]).unwrap(), ["evenkeel", "test-config"]);
        assert_eq!(of(&["rstudio-server", "cordon", "1"]).unwrap(), ["rstudio-server", "cordon", "1"]);
    }
}
