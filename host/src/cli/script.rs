//! Finds the legacy script and says how it is run.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};

use crate::{
    balancer::{
        Balancer,
        script::{Account, Script, Setup},
        trust::Trust,
    },
    config::Config,
};

/// What `balancer` selects it by.
pub(super) const NAME: &str = "custom";

/// Where it is looked for unless the configuration names it.
const USUAL: [&str; 2] = ["/usr/lib/evenkeel/bin/rserver-balancer", "/usr/lib/rstudio-server/bin/rserver-balancer"];

/// The script as a balancer.
pub(super) fn select(config: &Config) -> anyhow::Result<Arc<dyn Balancer>> {
    let settings = config.balancer_settings.get(NAME).map_or(0, BTreeMap::len);
    ensure!(settings == 0, "a script has no settings: leave out section [balancer {NAME}]");
    let program = find(config.balancer_script.as_deref())?;
    let root = nix::unistd::geteuid().is_root();
    let account = root.then(|| Account::find(config.server_user.as_deref())).transpose().context("server-user")?;
    let trust = account.as_ref().map_or(Trust::Anybody, |account| Trust::Owners(vec![0, account.uid]));
    let environment = environment(account.as_ref());
    let (limit, resolve) = (config.script_timeout, config.resolve_nodes);
    let setup = Setup { program, limit, environment, account, trust, resolve };
    setup.check()?;
    Ok(Arc::new(Script::new(NAME, setup)))
}

fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        ensure!(named.is_file(), "balancer-script={}: there is no such file", named.display());
        return Ok(named.to_owned());
    }
    let found = USUAL.iter().map(PathBuf::from).find(|path| path.is_file());
    found.with_context(|| {
        let [first, second] = USUAL;
        format!(
            "there is no script: load-balancer names none as balancer-script, and neither {first} nor {second} exists"
        )
    })
}

/// `PATH`, `HOME` and `LANG`: the daemon's own, but for the home of another account.
fn environment(account: Option<&Account>) -> Vec<(OsString, OsString)> {
    let home = account.map(|account| account.home.clone().into_os_string()).or_else(|| env::var_os("HOME"));
    let values = [("PATH", env::var_os("PATH")), ("HOME", home), ("LANG", env::var_os("LANG"))];
    values.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}
