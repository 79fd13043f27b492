//! `serve`: builds the daemon in phases, from configuration to serving, and runs it until it is told to stop.
//!
//! The port is bound before the cluster is joined, so that the node's address is known and a port in use changes nothing;
//! requests are answered only once everything behind them stands.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{Failure, client, lifecycle::Lifecycle, output, script, system};
use crate::{
    balancer::{
        builtin,
        fallback::Fallback,
        wasm::{Engine, Limits},
    },
    cluster::{LoadSource, Membership, StoreClock, address::announced, membership::Joining},
    config::{ClusterKey, Config, data_dir::DataDir},
    domain::{Clock, Entropy},
    launcher::{Kinds, Launcher, local::LocalLauncher, owner},
    proxy::{self, Drain, Proxy, routes::Registry},
    sessions::{self, Mirror, Sessions},
    store::{Registration, Store, sqlite::SqliteStore},
    web::{self, App, EventSlots, SignIns, ThisNode},
    wire::peer::{Peer, PeerClient, PeerVerifier},
};

/// How long the first sign-in link waits to be opened.
const FIRST_LINK: Duration = Duration::from_secs(60 * 60);

/// How long connections may stay open once the daemon has been told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Rows that a heartbeat brings and that nobody has taken up yet; the next heartbeat brings them again.
const PENDING: usize = 16;

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: Config) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(filter).init();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let kinds = Kinds::load(config.kinds_dir.as_deref(), &path).map_err(Failure::configuration)?;
    let balancer = balancer(&config).map_err(Failure::configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, Arc::new(kinds), balancer));
    // A look-up that hangs in the system's libraries must not keep the daemon from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome?)
}

async fn serve(config: Config, kinds: Arc<Kinds>, balancer: Arc<Fallback>) -> anyhow::Result<()> {
    let entropy: Arc<dyn Entropy> = Arc::new(system::SystemEntropy);
    let data_dir = DataDir::open(&config.data_dir)?;
    let token = data_dir.token(entropy.as_ref())?;
    let listener = bind(&config).await?;
    let bound = listener.local_addr()?;

    let store = SqliteStore::open(&config.database_directory, config.node_timeout).await?;
    let store: Arc<dyn Store> = Arc::new(store);
    let key = ClusterKey::load_or_create(&config.key_file, entropy.as_ref())?;
    let store_clock = Arc::new(StoreClock::new(Arc::new(system::SystemClock)));
    let clock: Arc<dyn Clock> = store_clock.clone();
    let launcher = LocalLauncher::new(
        &config.runtime_dir,
        data_dir.path(),
        PathBuf::from("/proc/self/exe"),
        Arc::clone(&kinds),
        Arc::clone(&entropy),
    )?;
    launcher.adopt().await?;
    let launcher: Arc<dyn Launcher> = Arc::new(launcher);

    let registration = registration(&config, bound, &kinds, balancer.selected().digest()).await?;
    let here = Peer { name: registration.name.clone(), address: registration.address.clone() };
    let membership = Membership::join(Joining {
        store: Arc::clone(&store),
        clock: store_clock,
        load: LoadSource::new(&config.load_average_file),
        data_dir: data_dir.path().to_owned(),
        node_timeout: config.node_timeout,
        registration,
    })
    .await?;
    let node = membership.node();

    let selected = Arc::clone(balancer.selected());
    let lifecycle = Lifecycle::new()?;
    let mirror = Arc::new(Mirror::new(Arc::clone(&store)));
    let sessions = Arc::new(Sessions::new(&sessions::Parts {
        node,
        here: here.clone(),
        store: Arc::clone(&store),
        launcher: Arc::clone(&launcher),
        kinds: Arc::clone(&kinds),
        policy: balancer,
        mirror: Arc::clone(&mirror),
        peers: Arc::new(PeerClient::new(here.name.clone(), &key, Arc::clone(&clock), Arc::clone(&entropy))),
        entropy: Arc::clone(&entropy),
    }));
    let proxy = Proxy::new(proxy::Parts {
        node,
        name: here.name.clone(),
        secure: false,
        routes: Arc::new(Registry::new(Arc::clone(&mirror), Arc::clone(&store))),
        launcher: Arc::clone(&launcher),
        listener_uid: Arc::new(|port| owner::listener_uid(port).ok().flatten()),
        key: key.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        limits: proxy::Limits::default(),
        drain: Drain { tracker: lifecycle.tasks(), cut: lifecycle.hard() },
    });
    let base_url = format!("http://{}", client::reachable(bound));
    let sign_ins = Arc::new(SignIns::new(
        key.derive("cookie"),
        web::identity::Token::from_text(&token),
        own_user()?,
        config.auth_timeout,
        false,
        Arc::clone(&clock),
        Arc::clone(&entropy),
    ));
    let app = App {
        sessions: sessions.clone(),
        proxy: Arc::new(proxy),
        store: Arc::clone(&store),
        peers: Arc::new(PeerVerifier::new(here.name.clone(), &key, Arc::clone(&clock), Arc::clone(&entropy))),
        sign_ins: Arc::clone(&sign_ins),
        changes: mirror.subscribe(),
        this: Arc::new(ThisNode { name: here.name.clone(), base_url: base_url.clone(), kind_titles: titles(&kinds) }),
        clock,
        stopping: lifecycle.soft(),
        event_slots: EventSlots::default(),
    };

    let (pending, taken_up) = mpsc::channel(PENDING);
    let tasks = lifecycle.tasks();
    stop_if_renumbered(&membership, lifecycle.soft());
    tasks.spawn(membership.run(config.heartbeat, pending, lifecycle.soft()));
    tasks.spawn(sessions.run(taken_up, lifecycle.soft()));
    tasks.spawn(web::server::serve(listener, app, web::server::Limits::default(), GRACE));

    client::publish(data_dir.path(), bound)?;
    output::line(format_args!("Evenkeel {}, node {}", env!("CARGO_PKG_VERSION"), here.name));
    output::line(format_args!("Serving {base_url}/"));
    output::line(format_args!("Sign in: {}", sign_ins.issue_code(FIRST_LINK).link(&base_url)));
    lifecycle.run().await;
    selected.stop();
    Ok(())
}

async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.www_address, config.www_port);
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another program there? Give --www-port or --www-address")
    })
}

/// The selected balancer, with the one that stands in for it.
fn balancer(config: &Config) -> anyhow::Result<Arc<Fallback>> {
    let engine = Engine::new()?;
    let limits = Limits { deadline: config.balancer_timeout, ..Limits::default() };
    let name = &config.balancer;
    let settings = config.balancer_settings.get(name).cloned().unwrap_or_default();
    let selected = match name.as_str() {
        script::NAME => script::select(config),
        _ => builtin::select(name, settings, &engine, limits).map_err(Into::into),
    };
    let selected = selected.with_context(|| format!("balancer={name}"))?;
    let name = &config.balancer_fallback;
    let other = builtin::stand_in(name, &engine).with_context(|| format!("balancer-fallback={name}"))?;
    Ok(Arc::new(Fallback::new(selected, other)))
}

/// What this node says of itself.
async fn registration(
    config: &Config,
    bound: SocketAddr,
    kinds: &Kinds,
    balancer_digest: Option<&str>,
) -> anyhow::Result<Registration> {
    let announced = announced(config.www_host_name.as_deref(), bound, &system::surroundings().host_name).await?;
    if let Some(caution) = &announced.caution {
        tracing::warn!("{caution}");
    }
    let load = LoadSource::new(&config.load_average_file);
    let machine = load.machine().await?;
    Ok(Registration {
        id: None,
        name: config.node_name.clone(),
        address: announced.address,
        ip: announced.ip,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        balancer_digest: balancer_digest.map(ToOwned::to_owned),
        cores: machine.cores,
        memory_total: machine.memory_total,
        weight: config.weight,
        capacity: config.capacity,
        labels: config.labels.clone(),
        kinds: kinds.offered().iter().map(|kind| kind.name.clone()).collect(),
        reading: load.read().await?,
    })
}

fn titles(kinds: &Kinds) -> BTreeMap<String, String> {
    kinds.all().map(|kind| (kind.name.clone(), kind.title.clone())).collect()
}

/// The account that the daemon runs as: whom the token and the sign-in links stand for.
fn own_user() -> anyhow::Result<String> {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid)?.with_context(|| format!("user id {uid} has no account"))?;
    Ok(user.name)
}

/// A store that was replaced knows this node by another id: everything that was built on the old one ends.
fn stop_if_renumbered(membership: &Membership, stop: CancellationToken) {
    let mut node = membership.watch_node();
    let before = membership.node();
    tokio::spawn(async move {
        while node.changed().await.is_ok() {
            let now = *node.borrow();
            if now != before {
                tracing::error!(%before, %now, "the store knows this node by another id: was it replaced? Start again");
                stop.cancel();
            }
        }
    });
}
