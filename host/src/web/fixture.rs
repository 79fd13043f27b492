//! What this room's tests share: a node's router over a real store, with stand-ins for what runs programs.
//!
//! Length: the stand-ins for all that this room asks of those below it, which every test of the room shares.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    App, Balancers, Client, EventSlots, Guests, KindInfo, Oversight, PasswordParts, Passwords, SessionControl,
    SessionTraffic, SignInParts, SignIns, ThisNode,
    identity::{PasswordCheck, Token},
    router,
};
use crate::{
    accounts::{
        Account, Admission,
        fakes::{FakeAccounts, account},
    },
    balancer::{
        Journal,
        plugins::{Report, Source, State as BalancerState},
        tally::Count,
    },
    config::ClusterKey,
    domain::{
        Action, Allowance, Decision, Entropy, Epoch, Job, JobProgram, Node, NodeId, NodeStatus, Reading,
        ResourceProfile, Session, SessionId, State, Wanted,
        fakes::{Numbers, SetClock},
        limit::{Limit, Over, Quantity, thousandths},
    },
    launcher::LogPart,
    pam::{Cause, PamError, Password, Verdict},
    proxy::ProxyBody,
    sessions::{NewSession, SessionError},
    store::{Registration, Reservation, SessionFilter, Store, sqlite::SqliteStore},
    wire::peer::PeerVerifier,
};

pub(super) const TOKEN: &str = "a-token-that-is-long-enough-to-be-one";
/// The cluster's key.
pub(super) const KEY: &[u8] = b"the key of the cluster";
pub(super) const USER: &str = "alice";

/// A node that people and programs can ask.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) store: Arc<SqliteStore>,
    pub(super) clock: Arc<SetClock>,
    pub(super) changes: watch::Sender<u64>,
    pub(super) journal: Arc<Journal>,
    router: Router,
    _directory: TempDir,
}

impl Site {
    /// With one node, `node1`, that offers `echo`.
    pub(super) async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path(), Duration::from_secs(60)).await.unwrap());
        store.register(&registration("node1")).await.unwrap();
        let clock = Arc::new(SetClock::at(Timestamp::from_second(1_800_000_000).unwrap()));
        let entropy: Arc<dyn Entropy> = Arc::new(Numbers::default());
        let key = ClusterKey::from_bytes(KEY.to_vec());
        let (changes, seen) = watch::channel(0);
        let journal = Arc::new(Journal::default());
        let app = App {
            sessions: Arc::new(Desk { store: store.clone(), entropy: entropy.clone() }),
            balancers: Arc::new(TwoBalancers { journal: journal.clone() }),
            proxy: Arc::new(Parrot),
            store: store.clone(),
            peers: Arc::new(PeerVerifier::new("node1".to_owned(), &key, clock.clone(), entropy.clone())),
            sign_ins: Arc::new(sign_ins(directory.path(), clock.clone(), entropy)),
            accounts: Arc::new(FakeAccounts::default().with("root", 0, &[]).with("ada", 1001, &[]).with(
                "mail",
                8,
                &[],
            )),
            admission: Admission { own: account("root", 0), minimum_uid: None },
            passwords: Arc::new(passwords(clock.clone())),
            oversight: Arc::new(Oversight::new(Arc::new(accounts()), vec!["ops".to_owned()])),
            changes: seen,
            this: Arc::new(ThisNode {
                name: "node1".to_owned(),
                base_url: Arc::new(ArcSwap::from_pointee("http://node1:8787".to_owned())),
                kinds: Arc::new(ArcSwap::from_pointee(
                    [("echo", "Echo <test>", false), ("job", "Job", true)]
                        .map(|(name, title, is_job)| {
                            (
                                name.to_owned(),
                                KindInfo { title: title.to_owned(), is_job, keeps: !is_job, untested: false },
                            )
                        })
                        .into(),
                )),
            }),
            clock: clock.clone(),
            tls: None,
            standing: watch::channel(None).1,
            stopping: CancellationToken::new(),
            peers_refused: Arc::default(),
            event_slots: EventSlots::default(),
        };
        app.sign_ins.catch_up(&*store).await.unwrap();
        Self { router: router(app.clone()), app, store, clock, changes, journal, _directory: directory }
    }

    /// Lets so many seconds pass, with the store in reach.
    pub(super) async fn advance(&self, seconds: i64) {
        self.clock.advance(jiff::SignedDuration::from_secs(seconds));
        self.app.sign_ins.catch_up(&*self.store).await.unwrap();
    }

    /// Runs as somebody who is not root.
    pub(super) fn run_as(&mut self, own: &str, uid: u32) {
        self.app.passwords = Arc::new(passwords_of(own, uid, self.clock.clone()));
        self.router = router(self.app.clone());
    }

    /// Allows so many event streams.
    pub(super) fn bound_events(&mut self, most: usize) {
        self.app.event_slots = EventSlots::new(most);
        self.router = router(self.app.clone());
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks, with the token.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Answer::read(self.send(request.body(Body::from(body.to_owned())).unwrap()).await).await
    }

    /// Opens a page as a browser does, with a cookie where there is one.
    pub(super) async fn visit(&self, path: &str, cookie: &str) -> Answer {
        let request = Request::get(path).header(header::ACCEPT, "text/html").header(header::COOKIE, cookie);
        Answer::read(self.send(request.body(Body::empty()).unwrap()).await).await
    }

    /// Sends a form as a browser does from a page of `origin`.
    pub(super) async fn submit(&self, path: &str, cookie: &str, origin: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::HOST, "node1:8787")
            .header(header::ORIGIN, origin)
            .header(header::ACCEPT, "text/html")
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        Answer::read(self.send(request.body(Body::from(form.to_owned())).unwrap()).await).await
    }

    /// A request that came from an address.
    pub(super) async fn knock(&self, path: &str, from: &str, header: Option<(&str, &str)>) -> Answer {
        let address: SocketAddr = from.parse().unwrap();
        let mut request = Request::get(path).extension(Client(address));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        Answer::read(self.send(request.body(Body::empty()).unwrap()).await).await
    }

    /// A session of `user`.
    pub(super) async fn start(&self, user: &str) -> Session {
        let new = NewSession { user: user.to_owned(), kind: "echo".to_owned(), ..NewSession::default() };
        self.app.sessions.start(new).await.unwrap()
    }

    /// A session of `user` that its node is about to run.
    pub(super) async fn start_claimed(&self, user: &str) -> Session {
        let session = self.start(user).await;
        assert!(self.store.claim(session.id, session.epoch, session.node).await.unwrap());
        session
    }

    /// A job of `user`.
    pub(super) async fn start_job(&self, user: &str) -> Session {
        let program = JobProgram::Command("make".to_owned());
        let job = Job { program, arguments: Vec::new(), environment: Default::default(), directory: None };
        let new = NewSession {
            user: user.to_owned(),
            kind: "echo".to_owned(),
            job: Some(Arc::new(job)),
            ..NewSession::default()
        };
        self.app.sessions.start(new).await.unwrap()
    }

    /// Gives a user name and a password, as the form's page does.
    pub(super) async fn give_password(&self, user: &str, password: &str) -> Answer {
        let form = format!("user={user}&password={password}");
        self.submit("/sign-in", "", "http://node1:8787", &form).await
    }

    /// Signs in and gives the cookie as a browser sends it.
    pub(super) fn cookie(&self) -> String {
        self.cookie_of(USER)
    }

    /// The same for anybody.
    pub(super) fn cookie_of(&self, user: &str) -> String {
        let set = self.app.sign_ins.sign_in(user);
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

/// An answer that has been read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn registration(name: &str) -> Registration {
    Registration {
        ip: Some([10, 0, 0, 1].into()),
        cores: 2,
        memory_total: 1 << 30,
        reading: Reading { load: [0.0126, 0.038, 0.0], memory_available: 1 << 29 },
        ..crate::store::story::registration(name)
    }
}

/// What the sessions of a user may have, who has one processor already.
fn most_cpus() -> Limit {
    let section = "[*]".to_owned();
    Limit { setting: "max-cpus", section, over: Over::User, quantity: Quantity::Cpus, most: 4000 }
}

/// What the password of each user is.
pub(super) const PASSWORD: &str = "correct";

/// The door of a daemon of root's for members of `staff`.
pub(super) fn passwords(clock: Arc<SetClock>) -> Passwords {
    passwords_of("root", 0, clock)
}

/// Some people. `bob` may see everybody's sessions.
fn accounts() -> FakeAccounts {
    FakeAccounts::default()
        .with("root", 0, &[])
        .with("alice", 1001, &["staff"])
        .with("bob", 1002, &["staff", "ops"])
        .with("guest", 1003, &[])
        .with("daemon", 2, &["staff"])
}

/// Who may sign in at a daemon that runs as somebody.
pub(super) fn guests(own: &str, uid: u32) -> Arc<Guests> {
    let own = Account { name: own.to_owned(), uid, gid: uid, home: "/".into(), shell: "/bin/sh".into() };
    Arc::new(Guests {
        accounts: Arc::new(accounts()),
        admission: Admission { own, minimum_uid: None },
        groups: vec!["ops".to_owned(), "staff".to_owned()],
    })
}

/// The sign-ins of a node of the one cluster.
pub(super) fn sign_ins(directory: &Path, clock: Arc<SetClock>, entropy: Arc<dyn Entropy>) -> SignIns {
    SignIns::new(SignInParts {
        cookie_key: [7; 32],
        other_cookie_keys: vec![[6; 32]],
        token: Token::from_text(TOKEN),
        guests: guests(USER, 1001),
        timeout: Duration::from_secs(3600),
        longest: Duration::from_secs(86_400),
        secure: false,
        tls: false,
        outbox: directory.join("sign-outs.json"),
        clock,
        entropy,
    })
}

/// The door of a daemon that runs as somebody.
pub(super) fn passwords_of(own: &str, uid: u32, clock: Arc<SetClock>) -> Passwords {
    let parts = PasswordParts { check: Ok(Arc::new(Guard)), guests: guests(own, uid), clock };
    Passwords::new(parts).at_pace(Duration::from_millis(1))
}

/// Takes one password for everybody who has an account, under a name that need not be the account's own.
#[derive(Debug)]
struct Guard;

#[async_trait]
impl PasswordCheck for Guard {
    async fn check(&self, user: &str, password: Password, _: Option<IpAddr>) -> Result<Verdict, PamError> {
        let closed = |cause, text: &str| Ok(Verdict::Closed { cause, texts: vec![text.to_owned()] });
        match user {
            "broken" => Err(PamError::Failed { service: "test".to_owned(), problem: "secret detail".to_owned() }),
            _ if password.bytes() != PASSWORD.as_bytes() => Ok(Verdict::Refused),
            "expired" => closed(Cause::AccountExpired, "since <yesterday>"),
            "old" => closed(Cause::PasswordExpired, "90 days"),
            "nobody-knows" => Ok(Verdict::Refused),
            name => Ok(Verdict::Accepted { user: name.to_lowercase() }),
        }
    }
}

/// Manages sessions by writing their rows; nothing runs.
#[derive(Debug)]
struct Desk {
    store: Arc<SqliteStore>,
    entropy: Arc<dyn Entropy>,
}

#[async_trait]
impl SessionControl for Desk {
    async fn start(&self, new: NewSession) -> Result<Session, SessionError> {
        let asked = thousandths(new.cpus);
        most_cpus().check(&new.user, 1000, asked).map_err(|reached| SessionError::Limit(Box::new(reached)))?;
        let snapshot = self.store.snapshot().await?;
        let node = &snapshot.nodes[0];
        if !node.kinds.contains(&new.kind) {
            let offered = node.kinds.iter().cloned().collect();
            return Err(SessionError::UnknownKind { kind: new.kind, offered });
        }
        if node.cordoned {
            return Err(SessionError::NoNode("1 cordoned".to_owned()));
        }
        let session = Session {
            id: SessionId::draw(&*self.entropy),
            user: new.user,
            kind: new.kind,
            cpus: new.cpus,
            memory: new.memory,
            name: new.name.unwrap_or_else(|| "Echo".to_owned()),
            state: State::Starting,
            claimed: false,
            pid: None,
            labels: new.labels,
            is_job: new.job.is_some(),
            ..session(node.id.0, "")
        };
        let decision = Decision {
            balancer: "sessions".to_owned(),
            digest: None,
            candidates: vec![node.id],
            scores: None,
            reason: Some("the only node".to_owned()),
            fallback: None,
            instead_of: None,
            eligible: 1,
            duration: Duration::from_micros(12),
        };
        let reservation = Reservation { session: session.clone(), new: true, decision, job: new.job };
        assert!(self.store.reserve(snapshot.revision, &[reservation]).await?);
        self.get(session.id).await
    }

    /// Of processors, something; of memory, nothing.
    async fn allowance(&self, _user: &str) -> Allowance {
        let (name, title) = ("small".to_owned(), "Small <one>".to_owned());
        let resources = vec![ResourceProfile { name, title, cpus: 0.25, memory: 0 }];
        Allowance { limits: vec![most_cpus()], default_cpus: 0.5, resources, ..Allowance::default() }
    }

    async fn get(&self, id: SessionId) -> Result<Session, SessionError> {
        self.store.session(id).await?.ok_or(SessionError::Missing(id))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<Vec<Session>, SessionError> {
        Ok(self.store.sessions(filter).await?)
    }

    async fn end(&self, id: SessionId) -> Result<Session, SessionError> {
        self.store.want(id, Wanted::Ended, None).await?.ok_or(SessionError::Missing(id))
    }

    async fn suspend(&self, id: SessionId) -> Result<Session, SessionError> {
        self.store.want(id, Wanted::Suspended, None).await?.ok_or(SessionError::Missing(id))
    }

    async fn order(&self, id: SessionId, wanted: Wanted) -> Result<Session, SessionError> {
        self.store.want(id, wanted, Some("by an administrator")).await?.ok_or(SessionError::Missing(id))
    }

    async fn resume(&self, id: SessionId, may_run_twice: bool) -> Result<Session, SessionError> {
        let session = self.get(id).await?;
        match (Action::Resume { may_run_twice }).objection(&session) {
            Some(problem) => Err(SessionError::State { id, state: session.state, problem }),
            None => Ok(session),
        }
    }

    async fn rename(&self, id: SessionId, name: &str) -> Result<Session, SessionError> {
        self.store.rename(id, name).await?.ok_or(SessionError::Missing(id))
    }

    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, SessionError> {
        Ok(self.store.want_all(user, wanted).await?)
    }

    async fn log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        Ok(format!("{id}: {lines} <lines>\n"))
    }

    async fn local_log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        self.log(id, lines).await
    }

    async fn log_part(&self, _: SessionId, from: u64) -> Result<LogPart, SessionError> {
        let written = b"one\n<two>\n";
        let from = from.min(written.len() as u64);
        let bytes = usize::try_from(from).ok().and_then(|at| written.get(at..)).unwrap_or_default().to_vec();
        Ok(LogPart { from, bytes })
    }

    async fn local_log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError> {
        self.log_part(id, from).await
    }

    async fn nudged(&self, id: SessionId) -> Result<(), SessionError> {
        self.get(id).await.map(drop)
    }
}

/// One that decides and one whose file is refused.
#[derive(Debug, Default)]
struct TwoBalancers {
    journal: Arc<Journal>,
}

impl Balancers for TwoBalancers {
    fn reports(&self) -> Vec<Report> {
        let micros = |micros| Some(Duration::from_micros(micros));
        let count = Count { decisions: 7, failures: 1, p50: micros(40), p99: micros(90), ..Count::default() };
        let active = Report {
            name: "mine".to_owned(),
            contract: Some("1.0.0".to_owned()),
            digest: Some("ff00".to_owned()),
            source: Some(Source::File),
            path: Some("/srv/plugins/mine.wasm".into()),
            state: BalancerState::Active,
            since: Some(Timestamp::UNIX_EPOCH),
            last_error: None,
            warnings: vec!["it is new".to_owned()],
            count,
        };
        let refused = Report {
            digest: None,
            state: BalancerState::Refused,
            last_error: Some("it is text".to_owned()),
            warnings: Vec::new(),
            count: Count::default(),
            ..active.clone()
        };
        vec![active, refused]
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// Says what it was asked for, and for whom.
#[derive(Debug)]
struct Parrot;

#[async_trait]
impl SessionTraffic for Parrot {
    async fn serve(&self, request: Request<Incoming>, _client: SocketAddr, user: Option<&str>) -> Response<ProxyBody> {
        let text = format!("{} {} for {}", request.method(), request.uri(), user.unwrap_or("nobody"));
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
        Response::new(body)
    }
}

/// An online node with one core.
pub(super) fn node(id: i64, name: &str) -> Node {
    Node {
        id: NodeId(id),
        name: name.to_owned(),
        address: format!("{name}:8787"),
        ip: None,
        version: "0.1.0".to_owned(),
        balancer_digest: None,
        certificate: None,
        cores: 1,
        memory_total: 1 << 30,
        weight: 100,
        capacity: None,
        promise_cpus: None,
        promise_memory: None,
        labels: Default::default(),
        kinds: ["echo".to_owned()].into(),
        kind_versions: Default::default(),
        overrides: Default::default(),
        cordoned: false,
        drain: None,
        reading: Reading::default(),
        metrics: Default::default(),
        status: NodeStatus::Online,
        last_seen: Timestamp::UNIX_EPOCH,
        clock_ahead: None,
    }
}

/// An active session.
pub(super) fn session(node: i64, user: &str) -> Session {
    Session {
        id: "7k3n9v2q".parse().unwrap(),
        user: user.to_owned(),
        groups: Vec::new(),
        kind: "echo".to_owned(),
        name: "Echo".to_owned(),
        state: State::Active,
        wanted: None,
        node: NodeId(node),
        epoch: Epoch::FIRST,
        claimed: true,
        pid: Some(4711),
        cpus: 0.0,
        memory: 0,
        labels: Default::default(),
        candidates: Vec::new(),
        failed_nodes: Vec::new(),
        failure: None,
        is_job: false,
        exit_status: None,
        note: None,
        last_activity: None,
        created: Timestamp::UNIX_EPOCH,
        changed: Timestamp::UNIX_EPOCH,
    }
}
