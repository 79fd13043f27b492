//! A daemon that somebody runs for themselves: not root's, with everything of it in their home.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    accounts::{PamService, UnixUser},
    binaries, wait,
};

/// A daemon of an account's own. It offers the kind `echo`; all that an account runs have one store.
#[derive(Debug)]
pub struct OwnDaemon {
    /// The address it serves, `host:port`.
    pub authority: String,
    child: Child,
}

impl OwnDaemon {
    /// Starts a node of this name.
    pub async fn start(user: &UnixUser, name: &str, service: &PamService) -> Result<Self> {
        let [own, programs] = [name, "bin"].map(|directory| user.home.join(directory));
        let kinds = own.join("config/kinds");
        fs::create_dir_all(&kinds)?;
        fs::create_dir_all(&programs)?;
        // The account need not be able to enter the directory that they are built in.
        for program in ["evenkeel", "evenkeel-echo"] {
            if !fs::exists(programs.join(program))? {
                fs::copy(binaries::find(program)?, programs.join(program))?;
            }
        }
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/echo.toml"), kinds.join("echo.toml"))?;
        let config = own.join("config");
        let server = format!("auth-pam-service={}\nheartbeat-interval-ms=250\n", service.name);
        fs::write(config.join("rserver.conf"), server)?;
        let database = format!("provider=sqlite\ndirectory={}\n", user.home.join("store").display());
        fs::write(config.join("database.conf"), database)?;
        let owner = format!("{0}:{0}", user.uid);
        let status = Command::new("chown").args(["-R", &owner]).arg(&user.home).status()?;
        ensure!(status.success(), "chown: {status}");
        let output = user.home.join(format!("{name}.output"));
        let child = Command::new(programs.join("evenkeel"))
            .args(["serve", "--www-address", "127.0.0.1", "--www-port", "0", "--node-name", name, "--config-dir"])
            .arg(&config)
            .arg("--data-dir")
            .arg(own.join("data"))
            .env_clear()
            .env("HOME", &user.home)
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .current_dir(&user.home)
            .uid(user.uid)
            .gid(user.uid)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(user.home.join(format!("{name}.log")))?)
            .spawn()?;
        let mut daemon = Self { authority: String::new(), child };
        daemon.authority = wait::until("the daemon to listen", wait::LONG, async || {
            let text = fs::read_to_string(&output)?;
            let line = text.lines().find_map(|line| line.strip_prefix("Serving http://")).context("it does not")?;
            Ok(line.trim_end_matches('/').to_owned())
        })
        .await
        .with_context(|| fs::read_to_string(user.home.join(format!("{name}.log"))).unwrap_or_default())?;
        Ok(daemon)
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status =
            wait::until("the daemon to stop", wait::LONG, async || self.child.try_wait()?.context("it runs")).await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        // It may have stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
