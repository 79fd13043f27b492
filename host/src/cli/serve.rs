//! `serve`: builds the daemon in phases, from configuration to serving, and runs it until it is told to stop.
//!
//! The port is bound before the cluster is joined, so that the node's address is known and a port in use changes nothing;
//! requests are answered only once everything behind them stands.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::Context;
use arc_swap::ArcSwap;
use jiff::SignedDuration;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    Failure,
    balancers::{self, All},
    client, connections, expiry,
    in_force::{InForce, ShadowInForce},
    keys,
    lifecycle::{End, Lifecycle},
    log, output, passwords,
    ports::Ports,
    registry,
    reload::{self, Reload},
    report, system,
};
use crate::{
    accounts::{Account, Accounts, Admission, SystemAccounts, lookup},
    balancer::Journal,
    cluster::{
        self, LoadSource, Membership, MetricsSource, StoreClock,
        address::{Announced, announced},
        agreement,
        membership::{Joining, NodeSettings},
    },
    config::{
        self, Config, Flags, ProfilesInForce,
        data_dir::{DataDir, make_private},
    },
    domain::{Charter, Clock, Entropy, PROTOCOL, Peer, Reading},
    launcher::{
        Kind, Kinds, Launcher,
        kind::Suspend,
        listener,
        local::{self, LocalLauncher},
        offer::{Nobody, Offer},
    },
    proxy::{self, Drain, Proxy, Registry},
    sessions::{
        self, JobLogs, Mirror, Sessions, Traffic,
        placement::{
            Policy,
            shadow::{Second, Worker},
        },
    },
    store::Registration,
    web::{
        self, App, EventSlots, Guests, KindInfo, Oversight, PasswordParts, Passwords, SignInParts, SignIns, ThisNode,
        Tls,
    },
    wire::{
        peer::{PeerClient, PeerLimit, PeerVerifier},
        tls::{Identity, OwnTls},
    },
};

/// How long the first sign-in link waits to be opened.
const FIRST_LINK: Duration = Duration::from_secs(60 * 60);

/// How long connections may stay open once the daemon has been told to stop. Web sockets do not end by themselves, and no
/// new request is answered until the next daemon listens.
const GRACE: Duration = Duration::from_secs(4);

/// Connections at once of browsers that are only to be sent to another port.
const BESIDE: usize = 64;

/// Rows that a heartbeat brings and that nobody has taken up yet; the next heartbeat brings them again.
const PENDING: usize = 16;

/// Runs the daemon until it is told to stop.
pub(super) fn run(flags: Flags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Before anything that takes long: a signal that nobody has taken over ends the process.
    let hangup = {
        let _entered = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let (config, problems, settings) = config::examine(&flags, &system::surroundings());
    report(&problems, true);
    let config = config.ok_or(Failure::Configuration)?;
    let set_level = log::begin(config.log_level);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let engine = balancers::engine(&config)?;
    let journal = Arc::new(Journal::beginning(system::SystemClock.now()));
    // All that is wrong is told at once.
    let (Some(kinds), Some(plugins), Some(shadow), Some(check), Some(identity)) = (
        told(Kinds::load_changed(config.kinds_dir.as_deref(), &config.kinds_changed, &path)),
        told(balancers::select(&config, &engine, &journal)),
        told(balancers::shadow(&config, &engine, &journal)),
        told(passwords::check(&config.sign_in)),
        told(config.tls.as_ref().map(Identity::load).transpose()),
    ) else {
        return Err(Failure::Configuration);
    };
    let (kinds, policy) = (Arc::new(kinds), Arc::new(InForce::new(plugins)));
    let (second, worker) = Second::new();
    let reloaded = reload::Parts {
        hangup,
        flags,
        peer_limit: PeerLimit::new(config.peer_timeout),
        delete_on_exit: Arc::new(AtomicBool::new(config.delete_node_on_exit)),
        node: watch::Sender::new(NodeSettings::new(&config)),
        records: watch::Sender::new(config.placement_records),
        tls: identity.map(|identity| Arc::new(OwnTls::new(identity))),
        config,
        settings,
        policy,
        shadow: Arc::new(ShadowInForce::new(shadow, Arc::clone(&second))),
        engine,
        journal,
        profiles: ProfilesInForce::default(),
        kinds_known: Arc::new(ArcSwap::from_pointee(shown(&kinds))),
        kinds,
        search_path: path,
        set_level,
    };
    let outcome = runtime.block_on(serve(reloaded, check, (second, worker)));
    // A look-up that hangs in the system's libraries must not keep the daemon from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome?)
}

/// What there is, where nothing is wrong with it; else that is told.
fn told<T, E: Into<anyhow::Error>>(outcome: Result<T, E>) -> Option<T> {
    outcome.map_err(|error| eprintln!("evenkeel: {:#}", error.into())).ok()
}

async fn serve(
    reloaded: reload::Parts,
    check: passwords::PasswordCheckOrWhy,
    (second, worker): (Arc<Second>, Worker),
) -> anyhow::Result<()> {
    let reload::Parts { policy, shadow, journal, profiles, kinds, kinds_known, .. } = &reloaded;
    let (policy, shadow, journal) = (Arc::clone(policy), Arc::clone(shadow), Arc::clone(journal));
    let profiles = Arc::clone(profiles);
    let (kinds, kinds_known) = (Arc::clone(kinds), Arc::clone(kinds_known));
    let (peer_limit, delete_on_exit) = (reloaded.peer_limit.clone(), Arc::clone(&reloaded.delete_on_exit));
    let (config, tls) = (reloaded.config.clone(), reloaded.tls.clone());
    profiles.store(Arc::new(config.profiles.clone()));
    let (settings, records) = (reloaded.node.subscribe(), reloaded.records.subscribe());
    let entropy: Arc<dyn Entropy> = Arc::new(system::SystemEntropy);
    let data_dir = DataDir::open(&config.data_dir)?;
    let token = data_dir.token(entropy.as_ref())?;
    // For whoever wants to copy a plugin there; a directory elsewhere may be a mount point that is not mounted yet.
    if config.plugins_dir.starts_with(data_dir.path()) && !config.plugins_dir.exists() {
        make_private(&config.plugins_dir)?;
    }
    let Ports { own: listener, beside } = Ports::open(&config).await?;
    let (bound, opened) = (listener.local_addr()?, Instant::now());

    let store = registry::open(&config).await?;
    let keys = keys::of_node(&config, &*store, entropy.as_ref()).await?;
    let store_clock = Arc::new(StoreClock::new(Arc::new(system::SystemClock)));
    let clock: Arc<dyn Clock> = store_clock.clone();
    let launcher = LocalLauncher::new(local::Parts {
        runtime_dir: &config.runtime_dir,
        data_dir: data_dir.path(),
        supervisor: PathBuf::from("/proc/self/exe"),
        kinds: Arc::clone(&kinds),
        options: config.programs.clone(),
        entropy: Arc::clone(&entropy),
    })?;
    launcher.adopt().await?;
    let launcher: Arc<dyn Launcher> = Arc::new(launcher);

    // A daemon that stops beats no more: the next one must be there before the cluster takes its sessions for lost.
    let grace = GRACE.min(config.node_timeout / 3);
    let lifecycle = Lifecycle::new(grace)?;
    let admission = Admission { own: own_account()?, minimum_uid: config.programs.minimum_uid };
    let accounts: Arc<dyn Accounts> = Arc::new(SystemAccounts::default());
    let guests = Arc::new(Guests {
        accounts: Arc::clone(&accounts),
        admission: admission.clone(),
        groups: config.sign_in.required_groups.clone(),
    });
    let sign_ins = Arc::new(SignIns::new(SignInParts {
        cookie_key: keys.signing().derive("cookie"),
        other_cookie_keys: keys.all().skip(1).map(|key| key.derive("cookie")).collect(),
        token: web::identity::Token::from_text(&token),
        guests: Arc::clone(&guests),
        timeout: config.auth_timeout,
        longest: config.sign_in.longest,
        secure: config.sign_in.secure_cookie,
        tls: tls.is_some(),
        outbox: data_dir.path().join("sign-outs.json"),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    }));
    sign_ins.catch_up(&*store).await?;
    client::publish(data_dir.path(), bound, tls.as_ref().map(|tls| tls.fingerprint()))?;
    let load = LoadSource::new(&config.load_average_file);
    let balancer_digest = policy.digest().borrow().clone();
    let offer = Offer::new(Arc::clone(&kinds), nobody());
    let registration = Registration {
        charter: cluster::charter(&keys),
        other_key: cluster::other_key(&keys),
        place: cluster::place(data_dir.path()),
        certificate: tls.as_ref().map(|tls| tls.fingerprint()),
        ..registration(&config, bound, &offer, &load, balancer_digest).await?
    };
    let here = Peer {
        name: registration.name.clone(),
        address: registration.address.clone(),
        certificate: registration.certificate.clone(),
    };
    // From here to the end, nothing may fail without the node leaving the cluster that it joins now.
    let membership = Membership::join(Joining {
        store: Arc::clone(&store),
        clock: store_clock,
        load,
        metrics: MetricsSource::new(&config.metrics_dir, config.metrics_max_age, Arc::new(system::SystemClock)),
        data_dir: data_dir.path().to_owned(),
        node_timeout: config.node_timeout,
        delete_on_exit,
        registration,
    })
    .await?
    .with_digest(policy.digest())
    .with_offer(offer.watch())
    .with_settings(settings)
    .with_tls(tls.clone());
    let node = membership.node();
    // What a peer said before that may have been said to somebody else.
    let since = clock.now() - SignedDuration::try_from(opened.elapsed()).unwrap_or_default();
    let (standing, due) = (membership.watch_standing(), membership.watch_due());
    let mirror = Arc::new(Mirror::new(Arc::clone(&store)));
    let traffic = Arc::new(Traffic::new(Arc::clone(&clock)));
    let sessions = Arc::new(Sessions::new(&sessions::Parts {
        node,
        here: here.clone(),
        store: Arc::clone(&store),
        launcher: Arc::clone(&launcher),
        kinds: Arc::clone(&kinds),
        accounts: Arc::clone(&accounts),
        admission: admission.clone(),
        profiles,
        start_limit: start_limit(&config),
        policy: Arc::clone(&policy) as Arc<dyn Policy>,
        second: Some(second),
        mirror: Arc::clone(&mirror),
        peers: Arc::new(
            PeerClient::new(here.name.clone(), &keys, Arc::clone(&clock), Arc::clone(&entropy))
                .with_limit(peer_limit.clone()),
        ),
        records,
        job_logs: JobLogs { kept: config.job_logs },
        traffic: Arc::clone(&traffic),
        idle: config.idle.clone(),
        activity_file: data_dir.path().join("activity.json"),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    }));
    let limits = connections::limits();
    let proxy = Proxy::new(proxy::Parts {
        node,
        name: here.name.clone(),
        secure: tls.is_some(),
        routes: Arc::new(Registry::new(Arc::clone(&mirror), Arc::clone(&store))),
        launcher: Arc::clone(&launcher),
        traffic,
        listener_uid: Arc::new(listener::uid),
        keys: keys.clone(),
        clock: Arc::clone(&clock),
        since,
        entropy: Arc::clone(&entropy),
        limits: proxy::Limits {
            connect_node: peer_limit,
            of_user: connections::of_user(&limits),
            ..proxy::Limits::default()
        },
        drain: Drain { tracker: lifecycle.tasks(), cut: lifecycle.hard() },
    });
    let base_url = Arc::new(ArcSwap::from_pointee(base_url(&config, bound)));
    let reload = Reload::new(reloaded, bound, Arc::clone(&base_url));
    let passwords = Arc::new(Passwords::new(PasswordParts { check, guests, clock: Arc::clone(&clock) }));
    let app = App {
        sessions: sessions.clone(),
        balancers: Arc::new(All { selected: Arc::clone(&policy), shadow: Arc::clone(&shadow), journal }),
        proxy: Arc::new(proxy),
        store: Arc::clone(&store),
        peers: Arc::new(
            PeerVerifier::new(here.name.clone(), &keys, Arc::clone(&clock), Arc::clone(&entropy)).since(since),
        ),
        sign_ins: Arc::clone(&sign_ins),
        passwords,
        oversight: Arc::new(Oversight::new(Arc::clone(&accounts), config.sign_in.admin_groups.clone())),
        accounts,
        admission,
        changes: mirror.subscribe(),
        this: Arc::new(ThisNode { name: here.name.clone(), base_url: Arc::clone(&base_url), kinds: kinds_known }),
        tls: tls.clone().zip(config.tls.as_ref()).map(|(own, options)| Tls::new(own, options)),
        standing: standing.clone(),
        clock,
        stopping: lifecycle.soft(),
        peers_refused: Arc::default(),
        event_slots: EventSlots::default(),
    };

    let (pending, taken_up) = mpsc::channel(PENDING);
    stop_if_renumbered(&membership, lifecycle.soft());
    lifecycle.part(membership.run(config.heartbeat, pending, lifecycle.soft()));
    lifecycle.part(offer.run(lifecycle.soft()));
    lifecycle.part(Arc::clone(&sign_ins).follow(Arc::clone(&store), lifecycle.soft()));
    lifecycle.part(agreement::watch(Arc::clone(&store), lifecycle.soft()));
    lifecycle.part(Arc::clone(&policy).run(Arc::clone(&store), lifecycle.soft()));
    lifecycle.part(reload.run(lifecycle.soft()));
    lifecycle.part(Arc::clone(&shadow).run(Arc::clone(&store), lifecycle.soft()));
    lifecycle.part(worker.run(store, lifecycle.soft()));
    lifecycle.part(Arc::clone(&sessions).run_idle(lifecycle.soft()));
    lifecycle.part(Arc::clone(&sessions).run_drain(due, lifecycle.soft()));
    let stop = lifecycle.soft();
    lifecycle.part(async move {
        // A node that the cluster does not take leaves its sessions' rows alone; their programs go on.
        if stop.run_until_cancelled(member(standing)).await.is_some() {
            let stranded = Arc::clone(&sessions).run_stranded(config.node_timeout, stop.clone());
            tokio::join!(sessions.run(taken_up, stop), stranded);
        }
    });
    if let Some(tls) = tls {
        lifecycle.part(expiry::watch(Arc::clone(&tls), Arc::new(system::SystemClock), lifecycle.soft()));
        lifecycle.part(follow(tls, data_dir.path().to_owned(), bound, lifecycle.soft()));
    }
    if let Some(beside) = beside {
        let limits = web::server::Limits { connections: BESIDE, ..web::server::Limits::default() };
        lifecycle.part(web::server::serve_beside(beside, app.clone(), limits, grace));
    }
    lifecycle.part(web::server::serve(listener, app, limits, grace));

    output::line(format_args!("Evenkeel {}, node {}", env!("CARGO_PKG_VERSION"), here.name));
    let base_url = base_url.load_full();
    output::line(format_args!("Serving {base_url}/"));
    output::line(format_args!("Sign in: {}", sign_ins.issue_code(FIRST_LINK).link(&base_url)));
    let end = lifecycle.run().await;
    client::withdraw(data_dir.path());
    for one in [Some(policy.plugins()), shadow.plugins()].into_iter().flatten() {
        one.policy().selected().balancer.stop();
    }
    anyhow::ensure!(end == End::Asked, "the daemon stopped by itself; its sessions go on");
    Ok(())
}

/// How a browser on this machine reaches the daemon.
pub(super) fn base_url(config: &Config, bound: SocketAddr) -> String {
    let reachable = client::reachable(bound);
    match &config.tls {
        None => format!("http://{reachable}"),
        // A certificate is for a name.
        Some(_) => match config.www_host_name.clone() {
            Some(name) if bound.port() == 443 => format!("https://{name}"),
            Some(name) => format!("https://{}", name.or_port(bound.port())),
            None => format!("https://{reachable}"),
        },
    }
}

/// Leaves word of each certificate that is shown, for commands.
async fn follow(tls: Arc<OwnTls>, data_dir: PathBuf, bound: SocketAddr, stop: CancellationToken) {
    let mut shown = tls.watch();
    while let Some(Ok(())) = stop.run_until_cancelled(shown.changed()).await {
        let (data_dir, certificate) = (data_dir.clone(), shown.borrow_and_update().fingerprint.clone());
        let published = tokio::task::spawn_blocking(move || client::publish(&data_dir, bound, Some(certificate)));
        if let Ok(Err(error)) = published.await {
            tracing::warn!("commands do not know the certificate that the port shows now: {error:#}");
        }
    }
}

/// Where this node is reached.
pub(super) async fn announce(config: &Config, bound: SocketAddr) -> Announced {
    let host_name = system::surroundings().host_name;
    let announced = announced(config.www_host_name.as_ref(), bound, &host_name, registry::machine(config)).await;
    if let Some(caution) = &announced.caution {
        tracing::warn!("{caution}");
    }
    announced
}

/// What this node says of itself.
async fn registration(
    config: &Config,
    bound: SocketAddr,
    offer: &Offer,
    load: &LoadSource,
    balancer_digest: Option<String>,
) -> anyhow::Result<Registration> {
    let announced = announce(config, bound).await;
    let machine = load.machine().await?;
    Ok(NodeSettings::new(config).put_into(Registration {
        id: None,
        name: config.node_name.clone(),
        address: announced.address,
        ip: announced.ip,
        certificate: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        balancer_digest,
        cores: machine.cores,
        memory_total: machine.memory_total,
        // Put in by the settings.
        weight: 0,
        capacity: None,
        promise_cpus: None,
        promise_memory: None,
        labels: BTreeMap::new(),
        kinds: offer.watch().borrow().keys().cloned().collect(),
        // Measured when the node joins.
        reading: Reading::default(),
        metrics: BTreeMap::new(),
        // Told by whoever has the key and the data directory.
        charter: Charter { key_hash: String::new(), protocol: PROTOCOL },
        other_key: None,
        place: String::new(),
    }))
}

/// How many programs are started at once: they load much from disk and compute while they do.
fn start_limit(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    config.start_limit.map_or((2 * cores).max(4), |limit| limit as usize)
}

/// What people are told of the kinds.
pub(super) fn shown(kinds: &Kinds) -> BTreeMap<String, KindInfo> {
    let info = |kind: &Kind| KindInfo {
        title: kind.title.clone(),
        is_job: kind.is_job(),
        keeps: kind.suspend == Suspend::Keeps,
        untested: kind.untested,
    };
    kinds.all().iter().map(|kind| (kind.name.clone(), info(kind))).collect()
}

/// Whom programs are asked for their version as, where the daemon is root.
fn nobody() -> Option<Nobody> {
    let user = nix::unistd::User::from_name("nobody").ok().flatten()?;
    Some(Nobody { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// The account that the daemon runs as: whom the token and the sign-in links stand for.
fn own_account() -> anyhow::Result<Account> {
    let uid = nix::unistd::geteuid().as_raw();
    lookup::by_uid(uid)?.with_context(|| format!("user id {uid} has no account"))
}

/// Waits until the cluster takes this node.
async fn member(mut standing: watch::Receiver<Option<String>>) {
    // Its sender lives as long as the daemon does.
    let _ = standing.wait_for(Option::is_none).await;
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
