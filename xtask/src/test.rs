//! `cargo xtask test`.

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs it.
pub(crate) fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    todo!()
}
