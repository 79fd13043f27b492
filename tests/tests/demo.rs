//! `cargo xtask demo`, as a newcomer runs it.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::{self, Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use evenkeel_tests::{Client, binaries, processes, status, vscode, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The first of `count` free ports in a row, below those that the system hands out by itself.
fn free_ports(count: u16) -> Result<u16> {
    let start = 20_000 + u16::try_from(process::id() % 10_000)?;
    (start..start + 1_000)
        .step_by(usize::from(count))
        .find(|first| (*first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .context("no free ports")
}

/// A demo with those arguments; everything below it carries `mark` in its environment or its command line.
fn demo(mark: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binaries::find("xtask")?);
    command.args(["demo", "--built", "--yes"]).args(arguments).env("EVENKEEL_TEST", mark).stdin(Stdio::null());
    Ok(command)
}

fn mark(name: &str) -> String {
    format!("evenkeel-test-{name}-{}", process::id())
}

fn output(mut command: Command) -> Result<(bool, String)> {
    let Output { status, stdout, stderr } = command.output()?;
    Ok((status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()))
}

/// What is left of a demo, killed so that it outlives no test.
fn left_behind(mark: &str) -> Vec<String> {
    let left = processes::marked(mark);
    left.iter().for_each(processes::Process::kill);
    left.into_iter().map(|process| process.command).collect()
}

/// Runs `demo --once` and returns the nodes of its status page. Each of its four sessions must have answered through a
/// node that does not run it.
fn once(mark: &str, nodes: u16, arguments: &[&str]) -> Result<Vec<status::NodeStatus>> {
    let port = free_ports(nodes)?.to_string();
    let (succeeded, text) = output(demo(mark, &[&["--once", "--port", &port], arguments].concat())?)?;
    assert!(succeeded, "{text}");
    assert_eq!(left_behind(mark), Vec::<String>::new());

    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let checked: Vec<_> = rows.iter().filter(|row| row.ends_with(&["200", "200", "42"])).collect();
    assert_eq!(checked.len(), 4, "{text}");
    for row in checked {
        assert_ne!(row[1], row[2], "asked at the node that runs it: {text}");
    }

    let page: String =
        text.lines().skip_while(|line| !line.contains("Load:")).map(|line| format!("{line}\n")).collect();
    let page = page.split_inclusive("\n\n").take(nodes.into()).collect::<String>();
    let shown = status::parse(&page).with_context(|| text.clone())?;
    assert_eq!(shown.len(), usize::from(nodes), "{text}");
    Ok(shown)
}

fn sessions(nodes: &[status::NodeStatus]) -> Vec<usize> {
    let mut counts: Vec<_> = nodes.iter().map(|node| node.sessions.len()).collect();
    counts.sort_unstable();
    counts
}

#[tokio::test]
async fn four_jupyterlabs_on_three_nodes_answer_through_nodes_that_do_not_run_them() -> Result<()> {
    assert_eq!(sessions(&once(&mark("jupyterlab"), 3, &[])?), [1, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn the_vs_codes_of_a_demo_are_connected_through_nodes_that_do_not_run_them() -> Result<()> {
    if vscode::programs()?.is_none() {
        return Ok(());
    }
    let arguments = ["--once", "--port", &free_ports(2)?.to_string(), "--kind", "vscode", "--nodes", "2"];
    let mark = mark("vscode");
    let (succeeded, text) = output(demo(&mark, &arguments)?)?;
    assert!(succeeded, "{text}");
    assert_eq!(left_behind(&mark), Vec::<String>::new());
    let rows = text.lines().filter(|line| line.split_whitespace().collect::<Vec<_>>().ends_with(&["200", "connected"]));
    assert_eq!(rows.count(), 4, "{text}");
    Ok(())
}

#[tokio::test]
async fn the_jupyter_notebooks_of_one_user_share_a_node_under_user_hash() -> Result<()> {
    let arguments = ["--kind", "jupyter-notebook", "--nodes", "2", "--balancer", "user-hash"];
    assert_eq!(sessions(&once(&mark("notebook"), 2, &arguments)?), [0, 4]);
    Ok(())
}

/// Starts a demo that stays, and waits until it has shown its cluster.
async fn start(mark: &str, port: &str) -> Result<(Child, String)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("output");
    let mut command = demo(mark, &["--kind", "echo", "--nodes", "2", "--port", port])?;
    let mut child = command.stdout(File::create(&path)?).stderr(Stdio::null()).spawn()?;
    let text = wait::until("the demo to show its cluster", wait::LONG, async || {
        let text = fs::read_to_string(&path)?;
        if let Some(status) = child.try_wait()? {
            return Ok(Err(anyhow::anyhow!("it ended ({status}): {text}")));
        }
        ensure!(text.contains("Ctrl-C"), "so far: {text}");
        Ok(Ok(text))
    })
    .await??;
    Ok((child, text))
}

#[tokio::test]
async fn it_stays_until_it_is_interrupted_and_leaves_no_process_behind() -> Result<()> {
    let mark = mark("stays");
    let port = free_ports(2)?.to_string();
    let (mut child, text) = start(&mark, &port).await?;
    assert!(text.contains("Load:") && text.contains("/sign-in?code="), "{text}");
    assert!(processes::marked(&mark).len() >= 7, "two daemons, four programs and itself");

    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let ended = wait::until("the demo to end", wait::LONG, async || child.try_wait()?.context("it runs")).await;
    let left = left_behind(&mark);
    assert!(ended?.success());
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

/// The line of a demo's output that has these words, as a command.
fn printed(text: &str, words: &[&str]) -> Result<String> {
    let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
    Ok(line.with_context(|| format!("no line with {words:?} in {text}"))?.trim().to_owned())
}

fn shell(command: &str) -> Result<String> {
    let output = Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn the_copy_that_it_suggests_changes_the_policy_of_all_its_daemons() -> Result<()> {
    let mark = mark("policy");
    let port = free_ports(2)?;
    let (mut child, text) = start(&mark, &port.to_string()).await?;
    let copy = printed(&text, &["cp ", "user-hash.wasm", "/plugins/sessions.wasm"])?;
    let why = printed(&text, &["evenkeel why ", "--data-dir"])?;
    let [_, _, session, _, data] = why.split(' ').collect::<Vec<_>>()[..] else { bail!("{why}") };
    let placed = async || -> Result<()> {
        let before = shell(&why)?;
        shell(&copy)?;
        let module = copy.split(' ').nth(1).context("a module")?;
        let digest = shell(&format!("sha256sum {module}"))?.split(' ').next().unwrap_or_default().to_owned();
        ensure!(!before.contains(&digest), "{before}");
        let client = |node: u16| {
            let data = data.replace("/n1/", &format!("/n{}/", node + 1));
            Client::of(&format!("127.0.0.1:{}", port + node), data.as_ref())
        };
        let first = client(0)?;
        wait::until("all daemons to place by the new module", wait::LONG, async || {
            for node in first.nodes().await? {
                ensure!(node.rest["balancer_digest"] == digest.as_str(), "{node:?}");
            }
            Ok(())
        })
        .await?;
        for node in 0..2 {
            let next = client(node)?.launch("echo").await?;
            let told = shell(&why.replace(session, &next.id))?;
            ensure!(told.contains(&digest) && told.contains("by sessions in"), "{told}");
        }
        Ok(())
    };
    let outcome = placed().await;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let ended = wait::until("the demo to end", wait::LONG, async || child.try_wait()?.context("it runs")).await;
    let left = left_behind(&mark);
    outcome?;
    assert!(ended?.success());
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_round_it() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let mark = mark("port");
    let (succeeded, text) = output(demo(&mark, &["--kind", "echo", "--nodes", "1", "--port", &port])?)?;
    if succeeded {
        bail!("it must fail: {text}");
    }
    assert!(text.contains(&format!("port {port}")) && text.contains("--port"), "{text}");
    assert_eq!(left_behind(&mark), Vec::<String>::new());
    Ok(())
}
