//! Two nodes on one machine, set up by nothing but configuration files.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{binaries, processes, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// The port of the page, on loopback addresses that nothing else here uses.
pub(crate) const PORT: u16 = 8787;

/// What all nodes see.
pub(crate) struct Site {
    directory: TempDir,
    /// Where the programs of sessions are, beside the usual places.
    pub(crate) programs: Vec<PathBuf>,
}

impl Site {
    pub(crate) fn lay_out(programs: Vec<PathBuf>) -> Result<Self> {
        // Short: sockets lie below it. Users pass through it to their homes.
        let directory = tempfile::Builder::new().prefix("ek-site-").tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o711))?;
        Ok(Self { directory, programs })
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// A directory that everybody can pass through.
    pub(crate) fn make(&self, below: &str) -> Result<PathBuf> {
        let path = self.path(below);
        fs::create_dir_all(&path)?;
        for directory in path.ancestors().take_while(|above| *above != self.directory.path()) {
            fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        }
        Ok(path)
    }

    /// The program under the name that administrators know.
    fn command(&self) -> Result<Command> {
        let link = self.path("rstudio-server");
        if !link.exists() {
            std::os::unix::fs::symlink(binaries::find("evenkeel")?, &link)?;
        }
        Ok(Command::new(link))
    }
}

/// One of the nodes.
pub(crate) struct Node {
    pub(crate) name: String,
    /// The address that it listens on.
    pub(crate) ip: String,
    /// In the place of `/etc/rstudio`.
    pub(crate) config: PathBuf,
    /// Its data directory, of this machine alone.
    pub(crate) data: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A machine after the installation: its configuration files are as they are shipped.
    pub(crate) fn install(site: &Site, number: u8) -> Result<Self> {
        let name = format!("node{number}");
        let config = site.make(&format!("{name}/etc"))?;
        fs::write(config.join("rserver.conf"), "# Server Configuration File\n\nload-balancing-enabled=0\n")?;
        fs::write(
            config.join("launcher.conf"),
            "[server]\naddress=localhost\nport=5559\nserver-user=rstudio-server\nadmin-group=rstudio-server\n\
             authorization-enabled=1\nthread-pool-size=4\nenable-debug-logging=0\n\n\
             [cluster]\nname=Local\ntype=Local\n",
        )?;
        Ok(Self {
            ip: format!("127.87.87.{number}"),
            data: site.path(&format!("{name}/data")),
            name,
            config,
            child: None,
        })
    }

    pub(crate) fn authority(&self) -> String {
        format!("{}:{PORT}", self.ip)
    }

    /// Adds lines to a file, as `tee -a` does, with its mode.
    pub(crate) fn append(&self, file: &str, lines: &str) -> Result<()> {
        let path = self.config.join(file);
        let mut file = File::options().create(true).append(true).open(&path)?;
        Ok(file.write_all(lines.as_bytes())?)
    }

    /// Edits a line of a file.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.config.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.matches(from).count() == 1, "{from} is not in {text}");
        Ok(fs::write(path, text.replace(from, to))?)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data.with_file_name("log")
    }

    /// Runs a command of the program on this node, and returns its output.
    pub(crate) fn run(&self, site: &Site, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = site.command()?;
        command.args(arguments).arg("--config-dir").arg(&self.config).arg("--data-dir").arg(&self.data);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("piped")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {error}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Restarts its service.
    pub(crate) async fn restart(&mut self, site: &Site) -> Result<()> {
        self.stop().await?;
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(site.programs.iter().cloned().chain(std::env::split_paths(&usual)))?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = site
            .command()?
            .args(["serve", "--config-dir"])
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&self.data)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        let authority = self.authority();
        wait::until(&format!("{} to listen", self.name), wait::LONG, async || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?;
            ensure!(ended.is_none(), "it has ended: {}", fs::read_to_string(self.log())?);
            tokio::net::TcpStream::connect(&authority).await?;
            Ok(())
        })
        .await
        .with_context(|| fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Has it read its configuration again, as `systemctl reload` does.
    pub(crate) fn reload(&self) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGHUP)?)
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let status =
            wait::until("the daemon to stop", wait::LONG, async || child.try_wait()?.context("it runs")).await?;
        ensure!(status.success(), "{status}: {}", fs::read_to_string(self.log())?);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            eprintln!("{}", fs::read_to_string(self.data.with_file_name("log")).unwrap_or_default());
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the nodes have started and still runs.
pub(crate) fn left(site: &Site) -> Vec<processes::Process> {
    site.directory.path().to_str().map(processes::marked).unwrap_or_default()
}

/// Whatever the daemon is told by a path, others can read no secret in it.
pub(crate) fn mode(path: &Path) -> Result<u32> {
    Ok(path.metadata().with_context(|| path.display().to_string())?.permissions().mode() & 0o777)
}
