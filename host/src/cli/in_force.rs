//! The selected balancer, and the one that is asked beside it; a reload replaces each as a whole.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::balancers;
use crate::{
    balancer::{Question, Refusal, plugins::Plugins},
    sessions::placement::{Policy, Ruling, shadow::Second},
    store::Store,
};

/// How often is looked which of the kept modules are needed still.
const TIDY: Duration = Duration::from_secs(10 * 60);

/// The balancer that decides. Decisions in flight end with the one that they began with.
#[derive(Debug)]
pub(super) struct InForce {
    plugins: ArcSwap<Plugins>,
    digest: watch::Sender<Option<String>>,
    replaced: watch::Sender<()>,
}

impl InForce {
    pub(super) fn new(plugins: Plugins) -> Self {
        let digest = watch::Sender::new(plugins.digest().borrow().clone());
        Self { plugins: ArcSwap::from_pointee(plugins), digest, replaced: watch::Sender::new(()) }
    }

    /// What is selected now.
    pub(super) fn plugins(&self) -> Arc<Plugins> {
        self.plugins.load_full()
    }

    /// The SHA-256 of the module in force, as it changes.
    pub(super) fn digest(&self) -> watch::Receiver<Option<String>> {
        self.digest.subscribe()
    }

    /// Selects otherwise, from the next decision on.
    pub(super) fn replace(&self, plugins: Plugins) {
        self.plugins.store(Arc::new(plugins));
        self.replaced.send_replace(());
    }

    /// Keeps what is selected at what its file says, until stopped.
    pub(super) async fn run(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut replaced = self.replaced.subscribe();
        loop {
            replaced.mark_unchanged();
            let plugins = self.plugins();
            let over = stop.child_token();
            let kept_up = async {
                tokio::join!(
                    Arc::clone(&plugins).run(balancers::describe(Arc::clone(&store)), over.clone()),
                    Arc::clone(&plugins).tidy(balancers::on_record(Arc::clone(&store)), TIDY, over.clone()),
                    over.run_until_cancelled(self.tell(plugins.digest())),
                )
            };
            tokio::select! {
                _ = kept_up => return,
                _ = replaced.changed() => {}
            }
            over.cancel();
        }
    }

    /// Passes on which module is in force.
    async fn tell(&self, mut digest: watch::Receiver<Option<String>>) {
        loop {
            let now = digest.borrow_and_update().clone();
            self.digest.send_if_modified(|told| {
                let is_news = *told != now;
                *told = now;
                is_news
            });
            if digest.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Policy for InForce {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        Policy::rank(&*self.plugins().policy(), question)
    }

    fn rank_within(&self, question: &Question, patience: Duration) -> Option<Result<Ruling, Refusal>> {
        Policy::rank_within(&*self.plugins().policy(), question, patience)
    }

    fn stand_in(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.plugins().policy().stand_in(question)
    }

    fn is_slow(&self) -> bool {
        Policy::is_slow(&*self.plugins().policy())
    }
}

/// The balancer that is asked beside the one that decides, where there is one.
#[derive(Debug)]
pub(super) struct ShadowInForce {
    plugins: watch::Sender<Option<Arc<Plugins>>>,
    second: Arc<Second>,
}

impl ShadowInForce {
    pub(super) fn new(plugins: Option<Plugins>, second: Arc<Second>) -> Self {
        let shadow = Self { plugins: watch::Sender::new(None), second };
        shadow.replace(plugins);
        shadow
    }

    /// What is selected now.
    pub(super) fn plugins(&self) -> Option<Arc<Plugins>> {
        self.plugins.borrow().clone()
    }

    /// How many decisions it was not asked about, where there is one.
    pub(super) fn missed(&self) -> Option<u64> {
        self.plugins().map(|_| self.second.missed())
    }

    /// Selects otherwise, or none, from the next decision on.
    pub(super) fn replace(&self, plugins: Option<Plugins>) {
        let plugins = plugins.map(Arc::new);
        self.second.ask(plugins.as_ref().map(|plugins| plugins.policy()));
        self.plugins.send_replace(plugins);
    }

    /// Keeps what is selected at what its file says, until stopped.
    pub(super) async fn run(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut selected = self.plugins.subscribe();
        loop {
            let plugins = selected.borrow_and_update().clone();
            let over = stop.child_token();
            let kept_up = async {
                match plugins {
                    Some(plugins) => plugins.run(balancers::describe(Arc::clone(&store)), over.clone()).await,
                    None => over.cancelled().await,
                }
            };
            tokio::select! {
                () = kept_up => return,
                _ = selected.changed() => {}
            }
            over.cancel();
        }
    }
}
