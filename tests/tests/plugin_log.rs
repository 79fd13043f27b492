//! What a balancer wrote in its decisions, as `plugin log` shows it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_fixtures::embed;
use evenkeel_tests::{Builder, Client, Cluster, wait};
use serde_json::Value;

/// Writes the user's name at three levels, and then does what it is made for.
fn talkative(then: &str) -> Result<Vec<u8>> {
    let module = format!(
        r#"(module
          (import "evenkeel:balancer/request@1.0.0" "username" (func $username (param i32)))
          (import "evenkeel:balancer/log@1.0.0" "debug" (func $debug (param i32 i32)))
          (import "evenkeel:balancer/log@1.0.0" "info" (func $info (param i32 i32)))
          (import "evenkeel:balancer/log@1.0.0" "warn" (func $warn (param i32 i32)))
          (memory (export "memory") 1)
          (global $top (mut i32) (i32.const 4096))
          (data (i32.const 256) "a\n\1b[31mline")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
            (global.set $top (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (func (export "evenkeel:balancer/policy@1.0.0#settings") (result i32) (i32.const 16))
          (func (export "evenkeel:balancer/policy@1.0.0#check") (result i32) (i32.const 32))
          (func (export "evenkeel:balancer/policy@1.0.0#rank") (result i32)
            (call $username (i32.const 512))
            (call $debug (i32.load (i32.const 512)) (i32.load (i32.const 516)))
            (call $info (i32.const 256) (i32.const 11))
            (call $warn (i32.load (i32.const 512)) (i32.load (i32.const 516)))
            {then}
            (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 1))
            (i32.const 64))
        )"#
    );
    Ok(embed(wat::parse_str(module)?, "1.0.0", ""))
}

/// Two nodes that place by the plugin `talks` in a directory that they share.
struct Ground {
    cluster: Cluster,
    plugin: PathBuf,
}

/// A command that follows, and the lines that it prints.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Ground {
    async fn start(then: &str) -> Result<Self> {
        let mut cluster = Builder::for_test(2)?.prepare()?;
        let plugins = cluster.root().join("plugins");
        fs::create_dir(&plugins)?;
        let plugin = plugins.join("talks.wasm");
        fs::write(&plugin, talkative("")?)?;
        for node in cluster.nodes() {
            let text = format!("balancer=talks\nplugins-dir={}\n", plugins.display());
            fs::write(node.files.config.join("load-balancer"), text)?;
        }
        cluster.start_all().await?;
        let ground = Self { cluster, plugin };
        if !then.is_empty() {
            ground.replace(&talkative(then)?).await?;
        }
        Ok(ground)
    }

    fn client(&self) -> Result<&Client> {
        self.cluster.client(0)
    }

    /// Puts another module in force.
    async fn replace(&self, module: &[u8]) -> Result<()> {
        let new = self.plugin.with_extension("new");
        fs::write(&new, module)?;
        fs::rename(&new, &self.plugin)?;
        wait::until("the plugin to be taken up", wait::LONG, async || {
            let list: Value = self.client()?.get("/api/v1/balancers").await?.success()?.json()?;
            let log = self.cluster.nodes()[0].log();
            ensure!(log.matches("the plugin is in force").count() == 2, "{list}");
            Ok(())
        })
        .await
    }

    fn log(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.cluster.command(&[&["plugin", "log"], arguments].concat())?;
        command.arg("--data-dir").arg(&self.cluster.nodes()[0].files.data);
        Ok(command)
    }

    /// What the command prints, whether it succeeds, and what is wrong if it does not.
    fn print(&self, arguments: &[&str]) -> Result<(bool, String, String)> {
        let output = self.log(arguments)?.output()?;
        Ok((output.status.success(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    }

    fn follow(&self, arguments: &[&str]) -> Result<Follower> {
        let mut child = self.log(&[arguments, &["--follow"]].concat())?.stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        let (sender, lines) = mpsc::channel();
        // Ends with the command.
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Follower { child, lines })
    }
}

impl Follower {
    fn next(&self) -> Result<String> {
        self.lines.recv_timeout(wait::LONG).context("no further line was printed")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_lines_of_a_decision_are_shown_with_its_session_also_where_it_failed() -> Result<()> {
    // On trial it behaves: the user's name begins with `tria` then.
    let fails = "(if (i32.ne (i32.load (i32.load (i32.const 512))) (i32.const 0x61697274)) (then unreachable))";
    let ground = Ground::start(fails).await?;
    let session = ground.client()?.launch_active("echo").await?;
    let (succeeded, printed, error) = ground.print(&["talks"])?;
    ensure!(succeeded, "{error}");
    let lines: Vec<_> = printed.lines().filter(|line| line.contains(&session.id)).collect();
    let user = session.user.as_str();
    for (line, (level, text)) in lines.iter().zip([("debug", user), ("info ", "a  [31mline"), ("warn ", user)]) {
        assert!(line.ends_with(&format!("{}  {level}  {text}", session.id)), "{printed}");
    }
    assert_eq!(lines.len(), 3, "{printed}");
    let (_, document, _) = ground.print(&["talks", "--json", "--lines", "1"])?;
    let document: Value = serde_json::from_str(&document)?;
    assert_eq!(document["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&document["lines"][0]["session"], &document["lines"][0]["level"]),
        (&session.id.into(), &"warn".into())
    );
    // The daemon's own log has them too.
    assert!(ground.cluster.nodes()[0].log().contains("a  [31mline"), "{}", ground.cluster.nodes()[0].log_tail());

    let (succeeded, _, error) = ground.print(&["nobody"])?;
    assert!(!succeeded && error.contains("it has: sessions, talks") && error.lines().count() == 1, "{error}");
    Ok(())
}

#[tokio::test]
async fn who_follows_sees_every_line_once_over_a_replacement_and_a_restart() -> Result<()> {
    let mut ground = Ground::start("").await?;
    let follower = ground.follow(&["talks", "--json"])?;
    let mut last = 0;
    let mut expect = async |ground: &Ground| -> Result<()> {
        let session = ground.client()?.launch_active("echo").await?;
        for level in ["debug", "info", "warn"] {
            let line: Value = serde_json::from_str(&follower.next()?)?;
            let number = line["number"].as_u64().context("a number")?;
            assert!(number > last, "{last}, then {line}");
            last = number;
            assert_eq!((&line["session"], &line["level"]), (&session.id.clone().into(), &level.into()), "{line}");
        }
        Ok(())
    };
    expect(&ground).await?;
    ground.replace(&talkative("nop")?).await?;
    expect(&ground).await?;
    ground.cluster.node(0).stop().await?;
    ground.cluster.node(0).start().await?;
    ground.cluster.wait_online().await?;
    expect(&ground).await?;
    Ok(())
}
