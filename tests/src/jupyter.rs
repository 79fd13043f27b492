//! Where JupyterLab and Jupyter Notebook are, as `cargo xtask setup` installs them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::binaries;

/// Where root puts them if others cannot enter the directory that it works in.
const PUBLIC: &str = "/opt/evenkeel-dev/jupyter";

/// The directory of their programs.
pub fn programs() -> Result<PathBuf> {
    let built = binaries::directory()?;
    let target = built.parent().context("programs lie in cargo's target directory")?;
    let places = [Path::new(PUBLIC).join("bin"), target.join("jupyter/bin")];
    match places.iter().find(|place| place.join("jupyter-lab").is_file()) {
        Some(place) => Ok(place.clone()),
        None => bail!("JupyterLab is in neither of {places:?}: run `cargo xtask setup`"),
    }
}
