//! `cargo xtask plugins`: compiles the builtin balancers to `plugins/dist`, whose files are committed so that building
//! Evenkeel needs no Wasm target. With `--check` it proves that those files are what the sources say. With `--examples` it
//! compiles those of the SDK for Rust instead, which are tested as modules too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

pub(crate) mod author;
mod build;
mod cases;
pub(crate) mod examples;
mod manifest;
mod sources;
mod toolchain;

use manifest::Manifest;
use toolchain::Toolchain;

/// The builtin balancers, each a crate of the name `evenkeel-plugin-NAME` in `plugins/NAME`.
const BUILTIN: [&str; 3] = ["sessions", "system-load", "user-hash"];

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing: rebuild beside the committed modules and compare. Fails where a source changed without a rebuild.
    #[arg(long)]
    pub(crate) check: bool,
    /// Compile the examples of sdk/rust instead, to target/plugins/examples, where the tests look for them.
    #[arg(long, conflicts_with = "check")]
    pub(crate) examples: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest_dir.parent().context("xtask lies in the workspace")?;
    if arguments.examples {
        examples::make(root).map(drop)
    } else if arguments.check {
        check(root)
    } else {
        make(root)
    }
}

/// The builtin balancers, compiled beside the committed ones.
fn build(root: &Path, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let crates = BUILTIN.map(|name| (name.to_owned(), format!("evenkeel-plugin-{name}")));
    build::modules(root, toolchain, "the builtin balancers", &crates, "dist")
}

fn make(root: &Path) -> anyhow::Result<()> {
    let source = sources::digest(root)?;
    let toolchain = Toolchain::find(root)?;
    let built = build(root, &toolchain)?;
    let dist = root.join("plugins/dist");
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for name in BUILTIN {
        let (from, to) = (module(&built, name), module(&dist, name));
        fs::write(&to, fs::read(&from)?).with_context(|| format!("cannot write {}", to.display()))?;
        println!("{:>8} bytes  {}", fs::metadata(&to)?.len(), to.strip_prefix(root)?.display());
    }
    Manifest::of(&dist, source, toolchain.description)?.write(&dist)
}

fn check(root: &Path) -> anyhow::Result<()> {
    let dist = root.join("plugins/dist");
    let committed = Manifest::read(&dist)?;
    if committed.source != sources::digest(root)? {
        bail!("the sources of the builtin balancers changed since plugins/dist was built: run `cargo xtask plugins`");
    }
    for name in BUILTIN {
        let digest = manifest::digest_of(&module(&dist, name))?;
        ensure!(
            committed.modules.get(name) == Some(&digest),
            "plugins/dist/{name}.wasm is not the file that plugins/dist/manifest.toml names: run `cargo xtask plugins`"
        );
    }

    let toolchain = Toolchain::find(root)?;
    let built = build(root, &toolchain)?;
    let same_compiler = committed.compiler == toolchain.description;
    if same_compiler {
        for name in BUILTIN {
            let same = fs::read(module(&built, name))? == fs::read(module(&dist, name))?;
            ensure!(
                same,
                "plugins/dist/{name}.wasm is not what its sources give with the compiler that built it: run `cargo xtask \
                 plugins` and commit, or find what makes the build differ"
            );
        }
        println!("The committed modules are, to the byte, what their sources give.");
    } else {
        println!("Bytes are not compared: the committed modules were built by another compiler.");
        println!("  committed: {}\n  here:      {}", committed.compiler, toolchain.description);
    }

    cases::run(root, &dist).context("the committed modules, plugins/dist, fail the decision cases")?;
    if !same_compiler {
        cases::run(root, &built)
            .with_context(|| format!("the rebuilt modules, {}, fail the decision cases", built.display()))?;
    }
    Ok(())
}

/// The file of a balancer in a directory.
fn module(directory: &Path, name: &str) -> PathBuf {
    directory.join(name).with_extension("wasm")
}
