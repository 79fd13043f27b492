//! What this room asks of those below it, as traits, so that its answers can be tested without a cluster.

use std::{fmt::Debug, net::SocketAddr};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::{
    balancer::{Journal, plugins::Report},
    domain::{Allowance, Session, SessionId, Wanted},
    launcher::LogPart,
    proxy::{Proxy, ProxyBody},
    sessions::{NewSession, SessionError, Sessions},
    store::SessionFilter,
};

/// The life of sessions, as [`Sessions`] manages it.
#[async_trait]
pub trait SessionControl: Send + Sync + Debug {
    /// [`Sessions::start`].
    async fn start(&self, new: NewSession) -> Result<Session, SessionError>;
    /// [`Sessions::allowance`].
    async fn allowance(&self, user: &str) -> Allowance;
    /// [`Sessions::get`].
    async fn get(&self, id: SessionId) -> Result<Session, SessionError>;
    /// [`Sessions::list`].
    async fn list(&self, filter: &SessionFilter) -> Result<Vec<Session>, SessionError>;
    /// [`Sessions::end`].
    async fn end(&self, id: SessionId) -> Result<Session, SessionError>;
    /// [`Sessions::suspend`].
    async fn suspend(&self, id: SessionId) -> Result<Session, SessionError>;
    /// [`Sessions::order`].
    async fn order(&self, id: SessionId, wanted: Wanted) -> Result<Session, SessionError>;
    /// [`Sessions::resume`].
    async fn resume(&self, id: SessionId, may_run_twice: bool) -> Result<Session, SessionError>;
    /// [`Sessions::rename`].
    async fn rename(&self, id: SessionId, name: &str) -> Result<Session, SessionError>;
    /// [`Sessions::want_all`].
    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, SessionError>;
    /// [`Sessions::log`].
    async fn log(&self, id: SessionId, lines: usize) -> Result<String, SessionError>;
    /// [`Sessions::local_log`].
    async fn local_log(&self, id: SessionId, lines: usize) -> Result<String, SessionError>;
    /// [`Sessions::log_part`].
    async fn log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError>;
    /// [`Sessions::local_log_part`].
    async fn local_log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError>;
    /// [`Sessions::nudged`].
    async fn nudged(&self, id: SessionId) -> Result<(), SessionError>;
}

#[async_trait]
impl SessionControl for Sessions {
    async fn start(&self, new: NewSession) -> Result<Session, SessionError> {
        self.start(new).await
    }

    async fn allowance(&self, user: &str) -> Allowance {
        self.allowance(user).await
    }

    async fn get(&self, id: SessionId) -> Result<Session, SessionError> {
        self.get(id).await
    }

    async fn list(&self, filter: &SessionFilter) -> Result<Vec<Session>, SessionError> {
        self.list(filter).await
    }

    async fn end(&self, id: SessionId) -> Result<Session, SessionError> {
        self.end(id).await
    }

    async fn suspend(&self, id: SessionId) -> Result<Session, SessionError> {
        self.suspend(id).await
    }

    async fn order(&self, id: SessionId, wanted: Wanted) -> Result<Session, SessionError> {
        self.order(id, wanted).await
    }

    async fn resume(&self, id: SessionId, may_run_twice: bool) -> Result<Session, SessionError> {
        self.resume(id, may_run_twice).await
    }

    async fn rename(&self, id: SessionId, name: &str) -> Result<Session, SessionError> {
        self.rename(id, name).await
    }

    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, SessionError> {
        self.want_all(user, wanted).await
    }

    async fn log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        self.log(id, lines).await
    }

    async fn local_log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        self.local_log(id, lines).await
    }

    async fn log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError> {
        self.log_part(id, from).await
    }

    async fn local_log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError> {
        self.local_log_part(id, from).await
    }

    async fn nudged(&self, id: SessionId) -> Result<(), SessionError> {
        self.nudged(id).await
    }
}

/// The traffic of sessions, as [`Proxy`] passes it on.
#[async_trait]
pub trait SessionTraffic: Send + Sync + Debug {
    /// [`Proxy::serve`].
    async fn serve(&self, request: Request<Incoming>, client: SocketAddr, user: Option<&str>) -> Response<ProxyBody>;
}

#[async_trait]
impl SessionTraffic for Proxy {
    async fn serve(&self, request: Request<Incoming>, client: SocketAddr, user: Option<&str>) -> Response<ProxyBody> {
        self.serve(request, client, user).await
    }
}

/// The balancers of this daemon.
pub trait Balancers: Send + Sync + Debug {
    /// [`Plugins::reports`](crate::balancer::plugins::Plugins::reports) of each.
    fn reports(&self) -> Vec<Report>;

    /// What they wrote.
    fn journal(&self) -> &Journal;

    /// How many decisions the shadow was not asked about since the daemon started; none where there is no shadow.
    fn missed_by_shadow(&self) -> Option<u64> {
        None
    }
}
