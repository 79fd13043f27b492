//! From nothing to a running balancer, by the steps in `sdk/rust/README.md` and no others.

use std::{
    env, fs,
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use evenkeel_tests::{Client, binaries, processes, wait};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// What the steps may take until the daemon listens: at the first time, they compile the standard library.
const BUILT: Duration = Duration::from_secs(500);

/// A balancer that runs in ten lines.
const MOST_LINES: usize = 10;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shell's blocks of the section that leads to a running balancer: the steps, and what to look at then.
fn steps() -> Result<[String; 2]> {
    let readme = fs::read_to_string(root().join("sdk/rust/README.md"))?;
    let (_, section) = readme.split_once("\n## From nothing to a running balancer\n").context("no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<_> = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [steps, look] = blocks[..] else { bail!("it has {} blocks", blocks.len()) };
    Ok([steps, look].map(ToOwned::to_owned))
}

/// A newcomer's home, with the programs that one has and a machine's own settings for a daemon.
struct Newcomer {
    home: TempDir,
    /// Where the crate is made: always the same, so that cargo knows again what it has compiled.
    desk: PathBuf,
    path: std::ffi::OsString,
    target: PathBuf,
    running: Option<Child>,
}

impl Newcomer {
    fn new() -> Result<Self> {
        let programs = binaries::directory()?;
        let target = programs.parent().context("the target directory")?.to_owned();
        binaries::find("evenkeel")?;
        binaries::find("evenkeel-echo")?;
        let home = tempfile::Builder::new().prefix("evenkeel-").tempdir()?;
        let tools = home.path().join("tools");
        let made = Command::new(binaries::find("xtask")?).arg("toolchain").arg(&tools).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let desk = target.join("author/desk");
        if desk.exists() {
            fs::remove_dir_all(&desk)?;
        }
        fs::create_dir_all(&desk)?;
        let usual = env::var_os("PATH").unwrap_or_default();
        // Cargo's directory has programs of other names only; a daemon finds the kind `echo` there.
        let path = env::join_paths([tools, programs].into_iter().chain(env::split_paths(&usual)))?;
        let newcomer = Self { home, desk, path, target, running: None };

        let trial = newcomer.trial();
        fs::create_dir_all(trial.join("kinds"))?;
        let settings = format!("www-port=0\nserver-data-dir={}\n", newcomer.home.path().join("run").display());
        fs::write(trial.join("rserver.conf"), settings)?;
        fs::copy(root().join("tests/kinds/echo.toml"), trial.join("kinds/echo.toml"))?;
        Ok(newcomer)
    }

    /// The directory in which the README has its daemon.
    fn trial(&self) -> PathBuf {
        self.home.path().join("evenkeel-trial")
    }

    /// A shell that ends at the first step that fails, with nothing in its environment but what a newcomer has.
    fn shell(&self, steps: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-euc", steps]).current_dir(&self.desk).env_clear().env("PATH", &self.path);
        shell.env("HOME", self.home.path());
        let own = |name: &str, folder: &str| {
            let usual = || env::home_dir().map(|home| home.join(folder).into_os_string());
            env::var_os(name).or_else(usual).map(|value| (name.to_owned(), value))
        };
        shell.envs(own("CARGO_HOME", ".cargo")).envs(own("RUSTUP_HOME", ".rustup"));
        // The crates that it needs are those of this workspace, which are here already.
        shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_BUILD_BUILD_DIR", self.target.join("author/build"));
        let passes = ["RUSTUP_TOOLCHAIN", "CARGO_REGISTR", "CARGO_SOURCE_", "TMPDIR", "LANG"];
        shell.envs(env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            passes.iter().any(|passes| name.starts_with(passes))
        }));
        shell.stdin(Stdio::null());
        shell
    }

    /// Takes the steps; the last one is a daemon that runs. Waits until it listens, and yields its address.
    async fn take(&mut self, steps: &str) -> Result<String> {
        let (output, address) = (self.home.path().join("output"), self.trial().join("address.json"));
        let file = File::create(&output)?;
        // A group of its own, since the shell may stay above the daemon.
        let child = self.shell(steps).stdout(file.try_clone()?).stderr(file).process_group(0).spawn()?;
        let child = self.running.insert(child);
        let said = || fs::read_to_string(&output).unwrap_or_default();
        let address = wait::until("the daemon of the last step to listen", BUILT, async || {
            if let Some(status) = child.try_wait()? {
                return Ok(Err(status));
            }
            ensure!(said().contains("\nServing http://"), "{}", said());
            let address: Value = serde_json::from_str(&fs::read_to_string(&address)?)?;
            Ok(Ok(address["address"].as_str().context("an address")?.to_owned()))
        })
        .await?;
        match address {
            Ok(address) => {
                let said = said();
                ensure!(said.contains("test result: ok.") && said.contains("cases answered as expected"), "{said}");
                Ok(address)
            }
            Err(status) => bail!("the steps ended with {status}: {}", said()),
        }
    }

    /// Asks the daemon to stop, and waits until everything has.
    async fn stop(&mut self) -> Result<()> {
        let mut child = self.running.take().context("it runs")?;
        killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        wait::until("the daemon to stop", wait::LONG, async || child.try_wait()?.context("it still runs")).await?;
        let marker = self.home.path().to_str().context("a path")?;
        wait::until("everything to end", wait::LONG, async || {
            let left = processes::marked(marker);
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        for process in self.home.path().to_str().map(processes::marked).unwrap_or_default() {
            process.kill();
        }
        // It has just been killed, if it had not ended.
        let _ = child.wait();
    }
}

#[tokio::test]
async fn a_newcomer_who_takes_the_steps_of_the_readme_has_a_balancer_that_decides() -> Result<()> {
    let [steps, look] = steps()?;
    let lines = steps.lines().filter(|line| !line.trim().is_empty()).count();
    ensure!((1..=MOST_LINES).contains(&lines), "it takes {lines} lines");

    let mut newcomer = Newcomer::new()?;
    let address = newcomer.take(&steps).await?;
    let client = Client::of(&address, &newcomer.trial())?;
    // In place of the page that the link opens.
    let session = client.launch_active("echo").await?;
    let placements: Value =
        client.get(&format!("/api/v1/placements?session={}", session.id)).await?.success()?.json()?;
    let placement = &placements["items"][0];
    let module = fs::read(newcomer.desk.join("my-balancer/my-balancer.wasm"))?;
    let digest: String = Sha256::digest(module).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&placement["balancer"], &placement["digest"]), (&"my-balancer".into(), &digest.into()), "{placement}");
    assert_eq!((&placement["reason"], &placement["fallback"]), (&"has the most free cores".into(), &Value::Null));

    let output = newcomer.shell(&look).output()?;
    let seen = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{seen}{}", String::from_utf8_lossy(&output.stderr));
    let row = seen.lines().find(|line| line.starts_with("my-balancer")).context("a row")?;
    assert!(row.contains("active") && row.contains("my-balancer.wasm"), "{seen}");
    let line = seen.lines().find(|line| line.contains(&session.id)).context("a line of the log")?;
    assert!(line.contains("debug") && line.contains("cores free"), "{seen}");

    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    newcomer.stop().await
}
