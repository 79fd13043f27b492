//! The builtin kinds with the real programs.

use std::sync::Arc;

use evenkeel::{
    domain::Epoch,
    launcher::{Address, Exit, Kinds, Launch, Launcher},
};

use crate::support::{Ground, id, stop};

async fn runs(name: &str) {
    let ground = Ground::new();
    let kinds = Kinds::load(None, &std::env::var_os("PATH").unwrap()).unwrap();
    let mut kind = (**kinds.get(name).unwrap()).clone();
    // Not into the home directory of whoever runs the test.
    kind.environment.insert("HOME".to_owned(), evenkeel::launcher::kind::Template::parse("{runtime_dir}").unwrap());
    let launch = Launch { kind: Arc::new(kind), ..ground.script("") };
    let launcher = ground.launcher();
    launcher.start(&launch).await.unwrap();
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    assert!(matches!(launcher.upstream(id()).unwrap().address, Address::Unix(_)));
    stop(&ground, &launcher, Epoch::FIRST).await;
    let exit = launcher.watch(id(), Epoch::FIRST).await;
    assert!(matches!(exit, Exit::Status(0) | Exit::Signal(15)), "it stops by itself: {exit}");
}

#[tokio::test]
#[ignore = "needs jupyter-lab on PATH"]
async fn jupyterlab_runs() {
    runs("jupyterlab").await;
}

#[tokio::test]
#[ignore = "needs jupyter-notebook on PATH"]
async fn jupyter_notebook_runs() {
    runs("jupyter-notebook").await;
}
