//! How a command talks to the daemon of its own machine: REST, with the token in the data directory.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    cluster::membership::own_id,
    domain::NodeId,
    launcher::listener,
    wire::client::{self, Owner, Socket},
};

/// Where a daemon listens, as it wrote it into its data directory.
#[derive(Debug, Serialize, Deserialize)]
struct Address {
    /// `host:port` on this machine.
    address: String,
    /// The SHA-256 of the certificate that it shows there; none where it takes no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

const ADDRESS_FILE: &str = "address.json";
const LIMIT: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 64 << 20;

/// Where programs of this machine reach a daemon that is bound to an address.
pub(super) fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        ip if !ip.is_unspecified() => bound,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, bound.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, bound.port()).into(),
    }
}

/// Leaves word in the data directory where the daemon listens.
pub(super) fn publish(data_dir: &Path, bound: SocketAddr, certificate: Option<String>) -> anyhow::Result<()> {
    let path = data_dir.join(ADDRESS_FILE);
    let aside = path.with_extension("new");
    let text = serde_json::to_vec(&Address { address: reachable(bound).to_string(), certificate })?;
    let write = || {
        // Whoever could write here would be sent the token.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&text)?;
        std::fs::rename(&aside, &path)
    };
    write().with_context(|| path.display().to_string())
}

/// Takes the word back: nobody is to be asked where it says, for whoever listens there next may be anybody.
pub(super) fn withdraw(data_dir: &Path) {
    let path = data_dir.join(ADDRESS_FILE);
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::debug!(%error, "{} stays", path.display());
    }
}

/// What an answer brings.
pub(super) type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// The daemon of this machine, seen from a command.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    address: String,
    certificate: Option<String>,
    token: String,
    data_dir: PathBuf,
}

impl Daemon {
    /// Finds the daemon that uses a data directory.
    pub(super) fn find(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(ADDRESS_FILE);
        let hint = || {
            format!(
                "{}: no daemon runs with this data directory, or none that you may ask; start `evenkeel serve`, or give the \
                 --data-dir of the one that runs",
                path.display()
            )
        };
        let Address { address, certificate } =
            serde_json::from_slice(&std::fs::read(&path).with_context(hint)?).with_context(hint)?;
        let token = std::fs::read_to_string(data_dir.join("token")).with_context(hint)?.trim().to_owned();
        Ok(Self { address, certificate, token, data_dir: data_dir.to_owned() })
    }

    /// The node that it is.
    pub(super) fn own_node(&self) -> anyhow::Result<NodeId> {
        let id = own_id(&self.data_dir)?;
        id.with_context(|| format!("{}: no node has been registered from here", self.data_dir.display()))
    }

    /// Finds it again: a daemon that has started anew may listen elsewhere.
    pub(super) fn again(&self) -> anyhow::Result<Self> {
        Self::find(&self.data_dir)
    }

    /// Asks the daemon; an answer that is no success is an error with what the daemon said.
    pub(super) async fn ask(&self, method: Method, target: &str) -> anyhow::Result<Bytes> {
        self.send(method, target, None).await
    }

    /// Sends a document, and reads the one that is the answer.
    pub(super) async fn post<T: DeserializeOwned>(&self, target: &str, document: &Value) -> anyhow::Result<T> {
        let body = self.send(Method::POST, target, Some(document)).await?;
        serde_json::from_slice(&body).with_context(|| format!("{target}: the daemon's answer cannot be read"))
    }

    /// As [`Self::ask`], with a document.
    pub(super) async fn send(&self, method: Method, target: &str, body: Option<&Value>) -> anyhow::Result<Bytes> {
        let request = self.request(&method, target, body)?;
        let exchange = async {
            let (status, body) = self.answer(request).await?;
            Ok((status, whole(body).await?))
        };
        let (status, body) = self.within(exchange).await?;
        if status.is_success() { Ok(body) } else { Err(self.refused(&method, target, status, &body)) }
    }

    /// Asks for what has no end in sight.
    pub(super) async fn stream(&self, target: &str) -> anyhow::Result<Body> {
        let request = self.request(&Method::GET, target, None)?;
        let (status, body) = self.within(self.answer(request)).await?;
        if status.is_success() {
            return Ok(body);
        }
        let body = self.within(whole(body)).await?;
        Err(self.refused(&Method::GET, target, status, &body))
    }

    fn request(&self, method: &Method, target: &str, body: Option<&Value>) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        Ok(request.body(Full::new(body))?)
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Body)> {
        // Anybody may listen where a daemon that has stopped did, and the token is worth the whole machine.
        let owner = Owner { uid: self.data_dir.metadata()?.uid(), of_port: Arc::new(listener::uid) };
        let socket = Socket::of(&self.address, self.certificate.as_deref());
        let answer = client::send_to(&socket, Some(&owner), request, LIMIT).await?;
        Ok((answer.status(), answer.into_body().map_err(anyhow::Error::new).boxed_unsync()))
    }

    async fn within<T>(&self, exchange: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::time::timeout(LIMIT, exchange)
            .await
            .with_context(|| format!("the daemon at {} did not answer within {} s", self.address, LIMIT.as_secs()))?
            .with_context(|| format!("the daemon at {} cannot be asked; is it running?", self.address))
    }

    fn refused(&self, method: &Method, target: &str, status: StatusCode, body: &[u8]) -> anyhow::Error {
        #[derive(Deserialize)]
        struct Problem {
            title: Option<String>,
            detail: Option<String>,
        }
        let said = serde_json::from_slice::<Problem>(body).ok().and_then(|problem| problem.detail.or(problem.title));
        let said =
            said.unwrap_or_else(|| format!("the daemon at {} answered {status} to {method} {target}", self.address));
        anyhow!(said)
    }

    /// Asks for a document.
    pub(super) async fn get<T: DeserializeOwned>(&self, target: &str) -> anyhow::Result<T> {
        let body = self.ask(Method::GET, target).await?;
        serde_json::from_slice(&body).with_context(|| format!("{target}: the daemon's answer cannot be read"))
    }

    /// Asks for all pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(&self, target: &str) -> anyhow::Result<Vec<T>> {
        #[derive(Deserialize)]
        struct Page<T> {
            items: Vec<T>,
            next: Option<String>,
        }
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let separator = if target.contains('?') { '&' } else { '?' };
            let page: Page<T> = match &after {
                Some(after) => self.get(&format!("{target}{separator}after={after}")).await?,
                None => self.get(target).await?,
            };
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

async fn whole(body: Body) -> anyhow::Result<Bytes> {
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    Ok(body.map_err(anyhow::Error::from_boxed)?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_daemon_listens_is_for_its_owner_to_read_and_write() {
        let directory = tempfile::tempdir().unwrap();
        let aside = directory.path().join("address.new");
        std::fs::write(&aside, "left by a crash, longer than what follows".repeat(9)).unwrap();
        std::fs::set_permissions(&aside, Permissions::from_mode(0o666)).unwrap();
        publish(directory.path(), "0.0.0.0:8787".parse().unwrap(), None).unwrap();
        let file = directory.path().join(ADDRESS_FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"address":"127.0.0.1:8787"}"#);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
