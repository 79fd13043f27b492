//! JupyterHub on this machine, for comparison: its simplest spawner starts the same JupyterLab as its own user.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Client, client::whole};
use hyper::{Method, Request, StatusCode, header};
use serde_json::Value;
use tempfile::TempDir;

use crate::by_hand::{Group, PATIENCE, PERIOD};

const TOKEN: &str = "evenkeel-bench-of-sessions";
const USER: &str = "bench";

/// A hub that runs.
pub(crate) struct Hub {
    client: Client,
    _hub: Group,
    _directory: TempDir,
}

impl Hub {
    /// Starts the one whose programs lie there, its proxy among them.
    pub(crate) async fn start(programs: &Path) -> Result<Self> {
        let directory = TempDir::new()?;
        let [front, proxy, hub] = free_ports()?;
        let configuration = directory.path().join("jupyterhub_config.py");
        fs::write(&configuration, self::configuration(programs, [front, proxy, hub]))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
        let child = Command::new(programs.join("jupyterhub"))
            .arg("--config")
            .arg(&configuration)
            .current_dir(directory.path())
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log"))?)
            .process_group(0)
            .spawn()
            .context("jupyterhub")?;
        let hub = Self {
            client: Client::anonymous(&format!("127.0.0.1:{front}")),
            _hub: Group(child),
            _directory: directory,
        };
        let start = Instant::now();
        while hub.ask(Method::GET, "/hub/api/").await.ok() != Some(StatusCode::OK) {
            if start.elapsed() > PATIENCE {
                let log = fs::read_to_string(hub._directory.path().join("log")).unwrap_or_default();
                anyhow::bail!("JupyterHub does not start:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        hub.ask(Method::POST, &format!("/hub/api/users/{USER}")).await?;
        Ok(hub)
    }

    /// The time from the request for a server until its program answers; it is stopped then.
    pub(crate) async fn server(&self) -> Result<Duration> {
        let server = format!("/hub/api/users/{USER}/server");
        let start = Instant::now();
        let asked = self.ask(Method::POST, &server).await?;
        ensure!(asked.is_success(), "JupyterHub starts no server: {asked}");
        let page = format!("/user/{USER}/api/status");
        while self.ask(Method::GET, &page).await? != StatusCode::OK {
            ensure!(start.elapsed() < PATIENCE, "JupyterHub's server does not answer");
            tokio::time::sleep(PERIOD).await;
        }
        let taken = start.elapsed();
        self.ask(Method::DELETE, &server).await?;
        while !self.is_stopped().await? {
            ensure!(start.elapsed() < PATIENCE, "JupyterHub's server does not stop");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(taken)
    }

    async fn is_stopped(&self) -> Result<bool> {
        let user: Value =
            self.client.ask(request(Method::GET, &format!("/hub/api/users/{USER}"))?).await?.success()?.json()?;
        Ok(user["server"].is_null() && user["pending"].is_null())
    }

    async fn ask(&self, method: Method, target: &str) -> Result<StatusCode> {
        Ok(self.client.ask(request(method, target)?).await?.status)
    }
}

fn request(method: Method, target: &str) -> Result<Request<evenkeel_tests::client::RequestBody>> {
    let token = format!("token {TOKEN}");
    Ok(Request::builder().method(method).uri(target).header(header::AUTHORIZATION, token).body(whole(""))?)
}

fn configuration(programs: &Path, [front, proxy, hub]: [u16; 3]) -> String {
    format!(
        "c.JupyterHub.bind_url = 'http://127.0.0.1:{front}'\n\
         c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{hub}'\n\
         c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{proxy}'\n\
         c.ConfigurableHTTPProxy.command = ['{programs}/configurable-http-proxy']\n\
         c.JupyterHub.authenticator_class = 'dummy'\n\
         c.Authenticator.allow_all = True\n\
         c.JupyterHub.spawner_class = 'simple'\n\
         c.Spawner.args = ['--allow-root']\n\
         c.JupyterHub.services = [{{'name': 'bench', 'api_token': '{TOKEN}'}}]\n\
         c.JupyterHub.load_roles = [{{'name': 'bench', 'services': ['bench'],\n    \
         'scopes': ['admin:users', 'admin:servers', 'access:servers', 'read:hub']}}]\n",
        programs = programs.display()
    )
}

/// Three free ports, held until all are known so that they differ.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let listeners = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
