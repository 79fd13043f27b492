//! The programs themselves, as users that are not the daemon's: started, used, suspended, resumed and ended, with nothing
//! left behind.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{
    Builder, Client, Cluster, Session, User,
    accounts::{PamService, UnixUser},
    jupyter,
    kernel::Kernel,
    visitor::Visitor,
    vscode, wait,
};
use procfs::process::Process;

/// A cluster whose sessions are started as people have them, by the login shell.
fn builder(nodes: usize, programs: PathBuf) -> Result<Builder> {
    Ok(Builder::for_test(nodes)?.setting("session-login-shell", "1").programs(programs))
}

/// How a kind's program is used.
enum Use {
    /// A kernel executes and writes into its user's home.
    Kernel {
        /// The page of the interface.
        page: &'static str,
        /// A word of it.
        word: &'static str,
    },
    /// The editor's page and script are loaded, and its remote protocol is spoken.
    Editor,
}

impl Use {
    /// Uses a session.
    async fn this(&self, client: &Client, session: &Session, user: &User) -> Result<()> {
        match self {
            Self::Kernel { page, word } => {
                let text = client.get(&session.path(page)).await?.success()?.text();
                ensure!(text.contains(word), "{page} is {text}");
                let mut kernel = Kernel::start(client, session).await?;
                let code = "import getpass, os, pathlib\n\
                            pathlib.Path('made-by-kernel').write_text('kept')\n\
                            (getpass.getuser(), os.getuid(), os.getcwd())";
                let expected = format!("('{}', {}, '{}')", user.name, user.uid, user.home.display());
                assert_eq!(kernel.execute(code).await?, expected);
                let made = user.home.join("made-by-kernel");
                assert_eq!((made.metadata()?.uid(), fs::read_to_string(&made)?.as_str()), (user.uid, "kept"));
                kernel.shut_down(client).await
            }
            Self::Editor => {
                let page = vscode::open(client, session).await?;
                let folder = format!("folder={}", user.home.display());
                ensure!(page.path.contains(&folder), "{} does not have {folder}", page.path);
                Ok(())
            }
        }
    }
}

/// Of a session that does not run there is neither a process nor a socket.
async fn runs_nowhere(cluster: &Cluster, session: &Session, user: &User) -> Result<()> {
    user.wait_without_processes().await?;
    for node in cluster.nodes() {
        let directory = node.files.run.join(&session.id);
        ensure!(!directory.exists(), "{} is left", directory.display());
    }
    Ok(())
}

/// The whole life of a session of that kind, seen from a node that it does not run on; another user gets at nothing of it.
async fn whole_life(kind: &str, programs: PathBuf, usage: Use) -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let cluster = builder(2, programs)?.start().await?;
    let first = cluster.sign_in(0, &ada.name).await?.launch_active(kind).await?;
    let (elsewhere, _) = cluster.client_elsewhere(&first.node.name)?;
    let (hers, his) = (cluster.sign_in(elsewhere, &ada.name).await?, cluster.sign_in(elsewhere, &bob.name).await?);

    let program = Process::new(first.pid.context("it runs")?)?;
    assert_eq!((program.uid()?, program.cwd()?), (ada.uid, ada.home.clone()));
    usage.this(&hers, &first, &ada).await.context("before it was suspended")?;
    for path in ["", "api/status", "api/kernels", "healthz"] {
        assert_eq!(his.get(&first.path(path)).await?.status, 404, "{path}");
    }
    let origin = format!("http://{}", his.authority());
    let upgrade = his.upgrade(&first.path("api/events/subscribe"), &[("origin", &origin)]).await?;
    assert_eq!(upgrade.err().context("another's web socket was opened")?, 404);

    hers.suspend(&first.id).await?;
    hers.wait_state(&first.id, |state| state == "suspended").await?;
    runs_nowhere(&cluster, &first, &ada).await.context("while it is suspended")?;

    hers.resume(&first.id).await?;
    let again = hers.wait_active(&first.id).await?;
    assert_eq!((&again.id, again.path("")), (&first.id, first.path("")));
    assert_ne!(again.pid, first.pid);
    usage.this(&hers, &again, &ada).await.context("after it was resumed")?;

    hers.end(&first.id).await?;
    hers.wait_state(&first.id, |state| state == "ended").await?;
    runs_nowhere(&cluster, &first, &ada).await.context("after it has ended")?;
    for node in cluster.nodes() {
        let kept = node.files.data.join("sessions").join(&first.id);
        wait::until("what the node keeps of it to be gone", wait::LONG, async || {
            ensure!(!kept.exists(), "{} is left", kept.display());
            Ok(())
        })
        .await?;
    }
    assert_eq!(hers.get(&first.path("")).await?.status, 410);
    cluster.close().await
}

#[tokio::test]
async fn jupyterlab_lives_as_its_user() -> Result<()> {
    whole_life("jupyterlab", jupyter::programs()?, Use::Kernel { page: "lab", word: "JupyterLab" }).await
}

#[tokio::test]
async fn jupyter_notebook_lives_as_its_user() -> Result<()> {
    whole_life("jupyter-notebook", jupyter::programs()?, Use::Kernel { page: "tree", word: "Jupyter Notebook" }).await
}

#[tokio::test]
async fn vs_code_lives_as_its_user() -> Result<()> {
    let Some(programs) = vscode::programs()? else { return Ok(()) };
    whole_life("vscode", programs, Use::Editor).await
}

#[tokio::test]
async fn two_people_who_signed_in_by_password_reach_their_own_jupyterlab_at_three_nodes_and_no_others() -> Result<()> {
    let service = PamService::unix()?;
    let (ada, bob) = tokio::try_join!(UnixUser::create("real"), UnixUser::create("real"))?;
    let cluster = builder(3, jupyter::programs()?)?.setting("auth-pam-service", &service.name).start().await?;
    let authority = |index: usize| cluster.nodes()[index].authority();
    let (hers, his) = (Visitor::signed_in(&authority(0), &ada).await?, Visitor::signed_in(&authority(1), &bob).await?);
    let (her, him) = tokio::try_join!(hers.launch_active("jupyterlab"), his.launch_active("jupyterlab"))?;
    for (session, user) in [(&her, &ada), (&him, &bob)] {
        assert_eq!(Process::new(session.pid.context("it runs")?)?.uid()?, user.uid);
    }
    for node in cluster.nodes() {
        let (hers, his) = (hers.moved_to(&node.authority()), his.moved_to(&node.authority()));
        for (visitor, own, other) in [(&hers, &her, &him), (&his, &him, &her)] {
            assert_eq!(visitor.get(&own.path("api/status")).await?.status, 200, "{}", node.name);
            let channel = own.path("api/events/subscribe");
            assert!(visitor.socket(&channel).await?.is_ok(), "{}", node.name);
            for path in ["", "api/status", "api/contents", "lab", "api/kernels"] {
                assert_eq!(visitor.get(&other.path(path)).await?.status, 404, "{path} at {}", node.name);
            }
            let channel = other.path("api/events/subscribe");
            assert_eq!(visitor.socket(&channel).await?.err().context("another's web socket was opened")?, 404);
            let one = format!("/api/v1/sessions/{}", other.id);
            for path in [one.clone(), format!("{one}/log")] {
                assert_eq!(visitor.get(&path).await?.status, 404, "{path} at {}", node.name);
            }
        }
    }
    hers.end(&her.id).await?;
    his.end(&him.id).await?;
    cluster.close().await
}
