//! The command line by which a user's login shell becomes a program.
//!
//! The shell reads its profile as at a login, so that modules, proxies and paths are there, and then takes the place of
//! itself. What it executes reaches it as arguments: nothing of a session is ever part of a script.

use std::path::Path;

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// What is executed.
    pub program: std::path::PathBuf,
    /// What it is told that it is called, where that is something else.
    pub name: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What stands for a shell that nobody has named, or whose language is not known here.
const USUAL: &str = "/bin/sh";

/// Each argument came with a dot before it, since this family of shells drops empty ones.
const BY_CSH: &str = r#"exec /bin/sh -c 'for a do shift; set -- "$@" "${a#.}"; done; exec "$@"' sh $argv:q"#;

/// `program` and its arguments, by way of a login shell.
pub(super) fn command(shell: &Path, program: &str, arguments: &[String]) -> Command {
    let words = || std::iter::once(program).chain(arguments.iter().map(String::as_str));
    let (shell, arguments) = match name(shell) {
        "csh" | "tcsh" | "bsd-csh" => (
            shell,
            ["-c", BY_CSH].map(str::to_owned).into_iter().chain(words().map(|word| format!(".{word}"))).collect(),
        ),
        "fish" => (shell, ["-l", "-c", "exec $argv"].into_iter().chain(words()).map(str::to_owned).collect()),
        family => {
            let shell = if is_posix(family) { shell } else { Path::new(USUAL) };
            let start = ["-l", "-c", r#"exec "$@""#, "evenkeel"];
            (shell, start.into_iter().chain(words()).map(str::to_owned).collect::<Vec<_>>())
        }
    };
    // A shell is a login shell by a hyphen before its name; some want to be told by an option, too.
    Command { program: shell.to_owned(), name: Some(format!("-{}", name(shell))), arguments }
}

/// The program without any shell.
pub(super) fn plain(program: &str, arguments: &[String]) -> Command {
    Command { program: program.into(), name: None, arguments: arguments.to_vec() }
}

fn name(shell: &Path) -> &str {
    shell.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_posix(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "sh", "ash", "bash", "dash", "ksh", "ksh93", "ksh2020", "lksh", "mksh", "oksh", "pdksh", "rbash", "yash", "zsh",
    ];
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        path::{Path, PathBuf},
    };

    use super::*;

    /// What a shell could take for something of its own.
    const HARD: [&str; 14] = [
        "a b",
        "$HOME",
        "`id`",
        "$(id)",
        "q'q",
        "d\"d",
        "*",
        "!x !!",
        "",
        "-n",
        "two\nlines",
        "\\x",
        "~",
        "ä;&|<>(){}[]",
    ];

    fn found(name: &str) -> Option<PathBuf> {
        which::which_in(name, Some("/usr/bin:/bin:/usr/local/bin"), "/").ok()
    }

    fn output(shell: &Path, home: &Path) -> String {
        let program = found("printf").expect("every system has it");
        let arguments: Vec<String> = ["[%s]"].into_iter().chain(HARD).map(str::to_owned).collect();
        let command = command(shell, program.to_str().expect("text"), &arguments);
        let mut run = std::process::Command::new(&command.program);
        run.args(&command.arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home);
        let output = run.arg0(command.name.expect("a login shell")).output().expect("it runs");
        assert!(output.status.success(), "{}: {output:?}", shell.display());
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn arguments_come_through_every_shell_as_they_are() {
        let home = tempfile::tempdir().expect("a home");
        let expected: String = HARD.iter().map(|word| format!("[{word}]")).collect();
        let mut missing = Vec::new();
        for name in ["sh", "bash", "dash", "zsh", "ksh", "mksh", "tcsh", "csh", "fish", "python3"] {
            match found(name) {
                Some(shell) => assert!(output(&shell, home.path()).ends_with(&expected), "{name}"),
                None => missing.push(name),
            }
        }
        assert!(!missing.contains(&"bash"), "what everybody has");
        eprintln!("not here, so not tried: {missing:?}; `cargo xtask setup` installs them");
    }

    #[test]
    fn the_profile_is_read() {
        let home = tempfile::tempdir().expect("a home");
        for (shell, file, text) in [
            ("sh", ".profile", "echo here"),
            ("bash", ".bash_profile", "echo here"),
            ("zsh", ".zprofile", "echo here"),
            ("ksh", ".profile", "echo here"),
            ("tcsh", ".login", "echo here"),
            ("fish", ".config/fish/config.fish", "status is-login; and echo here"),
        ] {
            let file = home.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            std::fs::write(&file, text).expect("written");
            if let Some(shell) = found(shell) {
                let said = output(&shell, home.path());
                assert!(said.starts_with("here\n"), "{}: {said}", shell.display());
            }
        }
    }

    #[test]
    fn a_shell_of_another_language_is_stood_in_for() {
        let command = command(Path::new("/usr/bin/nu"), "/bin/true", &[]);
        assert_eq!((command.program.as_path(), command.name.as_deref()), (Path::new("/bin/sh"), Some("-sh")));
        assert_eq!(super::command(Path::new(""), "/bin/true", &[]).program, Path::new("/bin/sh"));
    }
}
