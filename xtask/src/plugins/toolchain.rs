//! A compiler that can make Wasm modules: the active toolchain where it has the target, else Debian's compiler with its
//! sources of the standard library. Nothing is downloaded.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

/// The target of a module.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// `-Zbuild-std` is for compilers that are allowed what is not stable yet.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Variables of the surrounding `cargo xtask` that would turn the inner cargo into another one, or change what it makes.
/// Where registries are and how to reach them may pass.
fn leaks(variable: &str) -> bool {
    let passes = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRY", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
    let ours = variable.starts_with("CARGO") || variable.starts_with("RUST") || variable.starts_with("LD_LIBRARY_PATH");
    ours && !passes.iter().any(|passes| variable.starts_with(passes))
}

/// What has the standard library built for the target.
const BUILD_STD: &str = "-Zbuild-std=panic_abort,std";

/// What compiles.
#[derive(Debug)]
pub(super) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// The linker, and the source of the standard library, where that has to be built.
    own_std: Option<(PathBuf, PathBuf)>,
    /// The directory of the compiler's own files.
    sysroot: PathBuf,
    /// Compiler, linker and standard library: the same description, the same bytes.
    pub(super) description: String,
}

impl Toolchain {
    /// The first that will do.
    pub(super) fn find(root: &Path) -> anyhow::Result<Self> {
        let rustc = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let sysroot = active_sysroot(&rustc, root)?;
        if sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir() {
            return Self::active(&sysroot);
        }
        Self::debian(&sysroot)
    }

    fn active(sysroot: &Path) -> anyhow::Result<Self> {
        let rustc = sysroot.join("bin/rustc");
        // A toolchain of rustup has its own cargo; a distribution may keep it elsewhere.
        let own = sysroot.join("bin/cargo");
        let cargo = if own.is_file() { own } else { env::var_os("CARGO").context("run this by `cargo xtask`")?.into() };
        let description = format!("{}; its own linker and standard library", version(&rustc)?);
        Ok(Self { cargo, rustc, own_std: None, sysroot: sysroot.to_owned(), description })
    }

    fn debian(active: &Path) -> anyhow::Result<Self> {
        let (rustc, cargo) = (PathBuf::from(DEBIAN_RUSTC), PathBuf::from(DEBIAN_CARGO));
        let sysroot = PathBuf::from("/usr");
        let std = sysroot.join("lib/rustlib/src/rust");
        if !(rustc.is_file() && cargo.is_file() && std.join("library/Cargo.lock").is_file()) {
            bail!(
                "this toolchain cannot compile for {TARGET}. Where rustup is, run\n    \
                 rustup target add {TARGET}\nand on Debian\n    \
                 apt-get install rustc-web cargo-web rust-web-src\nthen try again"
            );
        }
        let (compiler, packager) = (version(&rustc)?, version(&cargo)?);
        ensure!(
            compiler.split(' ').nth(1) == packager.split(' ').nth(1),
            "{DEBIAN_RUSTC} is {compiler} and {DEBIAN_CARGO} is {packager}: they must be of one version\n    \
             apt-get install rustc-web cargo-web rust-web-src"
        );
        let linker = linker(active)?;
        let linked = first_line(Command::new(&linker).args(["-flavor", "wasm", "--version"]))?;
        let description = format!("{compiler}; standard library built from source; linker {linked}");
        Ok(Self { cargo, rustc, own_std: Some((linker, std)), sysroot, description })
    }

    /// An inner cargo, without what the outer one left in the environment.
    pub(super) fn cargo(&self, root: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        for (variable, _) in env::vars_os() {
            if variable.to_str().is_some_and(leaks) {
                command.env_remove(variable);
            }
        }
        command.current_dir(root).env("RUSTC", &self.rustc);
        if self.own_std.is_some() {
            command.env(BOOTSTRAP.0, BOOTSTRAP.1);
        }
        command
    }

    /// The cargo that compiles for the target.
    pub(super) fn cargo_program(&self) -> &Path {
        &self.cargo
    }

    /// The environment that this cargo needs where nobody asks for the same bytes each time.
    pub(super) fn author_variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("RUSTC", self.rustc.display().to_string())];
        if let Some((linker, _)) = &self.own_std {
            let (name, value) = BOOTSTRAP;
            variables.push((name, value.to_owned()));
            variables.push(("CARGO_ENCODED_RUSTFLAGS", format!("-Clinker={}", linker.display())));
        }
        variables
    }

    /// What is added to that cargo's arguments.
    pub(super) fn author_arguments(&self) -> &'static [&'static str] {
        if self.own_std.is_some() { &[BUILD_STD] } else { &[] }
    }

    /// Arguments of any inner cargo command that has to do with the target.
    pub(super) fn arguments(&self) -> &[&str] {
        let all = &[BUILD_STD, "--locked", "--target", TARGET];
        if self.own_std.is_some() { all } else { &all[1..] }
    }

    /// Whether the standard library is built first.
    pub(super) fn builds_std(&self) -> bool {
        self.own_std.is_some()
    }

    /// The compiler's flags, in the form of CARGO_ENCODED_RUSTFLAGS. They make the bytes independent of where things lie
    /// (where two prefixes match, the later one holds), so the crates must have been fetched before.
    pub(super) fn flags(&self, root: &Path) -> anyhow::Result<String> {
        let home = cargo_home()?;
        let registries = home.join("registry/src").read_dir().into_iter().flatten().flatten();
        let mut places = vec![(home, "/cargo"), (root.to_owned(), "/evenkeel")];
        // The name of a registry's folder tells which mirror the crates came from: no difference to the code.
        places.extend(registries.map(|registry| (registry.path(), "/cargo")));
        let std =
            self.own_std.as_ref().map_or_else(|| self.sysroot.join("lib/rustlib/src/rust"), |(_, std)| std.clone());
        places.push((std, "/rust"));
        let mut flags = Vec::new();
        for (place, name) in places {
            let real = place.canonicalize().ok().filter(|real| *real != place);
            for place in real.into_iter().chain([place]) {
                flags.push(format!("--remap-path-prefix={}={name}", place.display()));
            }
        }
        if let Some((linker, _)) = &self.own_std {
            flags.push(format!("-Clinker={}", linker.display()));
        }
        Ok(flags.join("\u{1f}"))
    }
}

fn active_sysroot(rustc: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    let printed = first_line(Command::new(rustc).args(["--print", "sysroot"]).current_dir(root))?;
    Ok(PathBuf::from(printed))
}

/// The linker that the active toolchain carries, else one on PATH.
fn linker(sysroot: &Path) -> anyhow::Result<PathBuf> {
    let hosts = sysroot.join("lib/rustlib").read_dir().into_iter().flatten().flatten();
    let carried = hosts.map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file());
    let on_path = || {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|place| place.join("rust-lld")).find(|linker| linker.is_file())
    };
    carried.or_else(on_path).with_context(|| {
        format!("there is no rust-lld, neither in {} nor on PATH: it is part of rustup's toolchains", sysroot.display())
    })
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    named.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor a home directory is known")
}

fn version(program: &Path) -> anyhow::Result<String> {
    first_line(Command::new(program).arg("--version"))
}

/// The first line that a program prints.
fn first_line(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, errors.trim());
    let text = String::from_utf8(output.stdout).with_context(|| format!("{program} did not print text"))?;
    text.lines().next().map(str::to_owned).with_context(|| format!("{program} printed nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_outer_cargo_sets_does_not_reach_the_inner_one() {
        for variable in
            ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_PROFILE_PLUGIN_LTO"]
        {
            assert!(leaks(variable), "{variable}");
        }
        for variable in ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_CAINFO", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL"] {
            assert!(!leaks(variable), "{variable}");
        }
    }
}
