//! `cargo xtask toolchain DIR`: what an author of balancers has on the path, for the test that follows the steps of
//! `sdk/rust/README.md` on a machine that may have Debian's compiler for Wasm instead of rustup's.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::toolchain::{TARGET, Toolchain};
use crate::workspace;

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the programs; it must be the first on the path of whoever uses them.
    directory: PathBuf,
}

/// Runs it.
pub(crate) fn run(Arguments { directory }: &Arguments) -> anyhow::Result<()> {
    let toolchain = Toolchain::find(workspace::root())?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    program(&directory.join("cargo"), &cargo(&toolchain))?;
    if toolchain.builds_std() || which("rustup").is_none() {
        program(&directory.join("rustup"), &rustup())?;
    }
    Ok(())
}

/// A cargo that compiles for Wasm with this toolchain, and is whatever else is on the path for the rest.
fn cargo(toolchain: &Toolchain) -> String {
    let variables: String = toolchain
        .author_variables()
        .iter()
        .map(|(name, value)| format!("        export {name}={}\n", quoted(value)))
        .collect();
    let arguments = toolchain.author_arguments().join(" ");
    let program = quoted(&toolchain.cargo_program().display().to_string());
    format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\nfor argument; do\n    if [ \"$argument\" = {TARGET} ]; then\n{variables}        \
         exec {program} \"$@\" {arguments}\n    fi\ndone\nexec cargo \"$@\"\n"
    )
}

/// Where that cargo has the target, there is nothing to add.
fn rustup() -> String {
    format!(
        "#!/bin/sh\n[ \"$*\" = \"target add {TARGET}\" ] && exit 0\necho \"rustup: this one knows only: target add {TARGET}\" \
         >&2\nexit 1\n"
    )
}

fn program(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| path.display().to_string())
}

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|place| place.join(name)).find(|program| program.is_file())
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_word_reaches_a_shell_as_it_is() {
        for text in ["", "a b", "it's $HOME `x` \"y\" \\"] {
            let output = Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quoted(text))]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn the_stand_in_for_rustup_does_one_thing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rustup");
        program(&path, &rustup()).unwrap();
        let run = |arguments: &[&str]| Command::new(&path).args(arguments).output().unwrap().status.success();
        assert!(run(&["target", "add", TARGET]));
        assert!(!run(&["target", "add", "wasm32-wasip2"]) && !run(&["update"]));
    }
}
