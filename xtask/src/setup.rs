//! `cargo xtask setup`: what the demo and the tests need and a fresh machine lacks.
//!
//! It says first what is missing and where it will go. Where it may not install, it names the line to run.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdin},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace;

mod debian;
pub(crate) mod hub;
pub(crate) mod node;
mod place;
mod python;

pub(crate) use python::{COMPONENTIZE, Environment, JUPYTER, JUPYTERHUB};

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// What is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// JupyterLab and Jupyter Notebook.
    pub(crate) jupyter: bool,
    /// VS Code, by code-server.
    pub(crate) vscode: bool,
    /// Compilers for Wasm, of Rust and of Python.
    pub(crate) wasm: bool,
    /// A real browser.
    pub(crate) browser: bool,
    /// Postgres' own programs; each run starts a server of its own.
    pub(crate) postgres: bool,
    /// Login shells of other families than the usual one's.
    pub(crate) shells: bool,
}

impl Needs {
    /// Nothing.
    pub(crate) const NONE: Self =
        Self { jupyter: false, vscode: false, wasm: false, browser: false, postgres: false, shells: false };
    /// What the tests need.
    pub(crate) const ALL: Self =
        Self { jupyter: true, vscode: true, wasm: true, browser: true, postgres: true, shells: true };
}

/// What is missing.
#[derive(Debug, Default)]
struct Missing {
    packages: Vec<&'static str>,
    environments: Vec<(&'static Environment, PathBuf)>,
    vscode: Option<PathBuf>,
}

/// Why something that was asked for is not there and cannot be had on this machine; none where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// VS Code.
    pub(crate) vscode: Option<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let lacks = provide(Needs::ALL, arguments.yes)?;
    match &lacks.vscode {
        None => eprintln!("Everything that the demo and the tests need is there."),
        Some(_) => eprintln!("Everything else that the demo and the tests need is there."),
    }
    Ok(())
}

/// Installs what is needed and missing, and says what cannot be had. Quick where nothing is missing.
pub(crate) fn provide(needs: Needs, yes: bool) -> Result<Lacks> {
    let mut missing = Missing::of(needs)?;
    let mut lacks = Lacks::default();
    if missing.vscode.is_some() {
        let packages: Vec<_> = node::packages().collect();
        let cannot = (!packages.is_empty() && !debian::may_install())
            .then(|| format!("this program may not install packages here; run: {}", debian::line(&packages)));
        lacks.vscode = node::obstacle().or(cannot);
        match &lacks.vscode {
            Some(_) => missing.vscode = None,
            None => missing.packages.extend(packages),
        }
    }
    install(&missing, yes, &mut lacks)?;
    if let Some(problem) = &lacks.vscode {
        eprintln!("VS Code is NOT installed: {problem}");
    }
    Ok(lacks)
}

fn install(missing: &Missing, yes: bool, lacks: &mut Lacks) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("Missing, and to be installed:");
    if !missing.packages.is_empty() {
        eprintln!("  Debian packages: {}", missing.packages.join(" "));
    }
    for (environment, directory) in &missing.environments {
        let packages = environment.requirements.join(" ");
        eprintln!("  Python packages: {packages} (about {} MB) in {}", environment.size, directory.display());
    }
    if let Some(directory) = &missing.vscode {
        eprintln!("  npm packages: code-server (about {} MB) in {}", node::SIZE, directory.display());
    }
    if !missing.packages.is_empty() && !debian::may_install() {
        bail!("this program may not install packages here; {}", missing.advice());
    }
    if !yes && stdin().is_terminal() && stderr().is_terminal() && !agreed()? {
        bail!("nothing was installed");
    }
    if !missing.packages.is_empty() {
        debian::install(&missing.packages)?;
    }
    for (environment, directory) in &missing.environments {
        environment.install(directory)?;
    }
    // Where npm fails, for want of a network say, the rest can be used all the same.
    if let Some(directory) = &missing.vscode
        && let Err(error) = node::install(directory)
    {
        lacks.vscode = Some(format!("{error:#}"));
    }
    Ok(())
}

fn agreed() -> Result<bool> {
    eprint!("Install? [Y/n] ");
    stderr().flush()?;
    let mut answer = String::new();
    let length = stdin().read_line(&mut answer)?;
    Ok(length > 0 && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

impl Missing {
    fn of(needs: Needs) -> Result<Self> {
        let mut missing = Self::default();
        for (environment, is_needed) in [(&JUPYTER, needs.jupyter), (&COMPONENTIZE, needs.wasm)] {
            if is_needed && let Some(directory) = environment.missing()? {
                missing.environments.push((environment, directory));
            }
        }
        if !missing.environments.is_empty() && !python::is_complete() {
            missing.packages.push("python3-venv");
        }
        if needs.vscode {
            missing.vscode = node::missing()?;
        }
        if needs.wasm && !compiles_to_wasm() {
            missing.packages.extend(WASM.into_iter().filter(|package| !debian::installed(package, RUST)));
        }
        let programs = [(needs.browser, &BROWSER[..]), (needs.shells, &SHELLS)];
        for (package, program) in programs.into_iter().filter(|(is_needed, _)| *is_needed).flat_map(|(_, all)| all) {
            if !Path::new(program).exists() {
                missing.packages.push(package);
            }
        }
        if needs.postgres && !has_postgres() {
            missing.packages.push("postgresql");
        }
        Ok(missing)
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.environments.is_empty() && self.vscode.is_none()
    }

    /// The line to run where the program may not install.
    fn advice(&self) -> String {
        let mut advice = format!("run: {}", debian::line(&self.packages));
        if self.packages.iter().any(|package| WASM.contains(package)) && runs("rustup") {
            advice.push_str(", or in place of its packages for Wasm: rustup target add wasm32-unknown-unknown");
        }
        advice
    }
}

/// Debian's compiler for Wasm: all three of one version.
const WASM: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A browser, and what drives it, each with the program that it brings.
const BROWSER: [(&str, &str); 2] = [("chromium", "/usr/bin/chromium"), ("chromium-driver", "/usr/bin/chromedriver")];

/// Shells that a user may have, each with the program that it brings.
const SHELLS: [(&str, &str); 4] =
    [("zsh", "/usr/bin/zsh"), ("tcsh", "/usr/bin/tcsh"), ("fish", "/usr/bin/fish"), ("ksh", "/usr/bin/ksh")];

/// The oldest compiler that the workspace is for.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Whether the active toolchain has the target by itself.
fn compiles_to_wasm() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
        .current_dir(workspace::root())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        let directory = String::from_utf8_lossy(&output.stdout);
        output.status.success() && Path::new(directory.trim()).is_dir()
    })
}

/// Whether a version of Postgres is there, as Debian lays it out.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|program| program.exists())
}

fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_may_not_install_it_names_the_line_to_run() {
        let missing = Missing { packages: vec!["python3-venv"], ..Missing::default() };
        assert_eq!(missing.advice(), "run: sudo apt-get install --no-install-recommends python3-venv");
    }
}
