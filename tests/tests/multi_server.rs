//! The installation of several servers, step by step as the administrators of the legacy product know it, with this program
//! in that one's place: two nodes on one machine, told apart by their loopback addresses, set up by nothing but files.
//! Each comment `#` names a section of their page, `multi-server-installation`.

mod multi_server {
    pub(super) mod machine;
}

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use evenkeel_test_postgres::{Options, Server, certificates::Authority};
use evenkeel_tests::{
    Client, Session,
    accounts::UnixUser,
    jupyter,
    kernel::Kernel,
    status::{self, NodeStatus},
    visitor::Visitor,
    vscode, wait,
};
use multi_server::machine::{Node, PORT, Site, left, mode};
use serde_json::Value;

const PASSWORD: &str = "plain text, with spaces = and %";

#[tokio::test]
async fn the_page_of_the_legacy_product_is_followed_to_its_end() -> Result<()> {
    let editor = vscode::programs()?;
    let site = Site::lay_out([jupyter::programs()?].into_iter().chain(editor.clone()).collect())?;

    // # Install on each node
    let mut nodes = [Node::install(&site, 1)?, Node::install(&site, 2)?];

    // # Postgres database
    // It takes nobody without TLS: `sslmode=allow`, below, has to come a second time.
    let certificate = Authority::new("An authority").server(&["localhost"]);
    let server = Server::start(&Options {
        settings: "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\n".to_owned(),
        hba: "local all all scram-sha-256\nhostssl all rstudio all scram-sha-256\n".to_owned(),
        files: vec![("server.pem".to_owned(), certificate.certificate), ("server.key".to_owned(), certificate.key)],
        ..Options::default()
    });
    server.sql("postgres", &format!("CREATE ROLE rstudio LOGIN PASSWORD '{PASSWORD}'"));
    server.sql("postgres", "CREATE DATABASE rstudio OWNER rstudio");

    // # Shared storage; # Mount shared storage
    let homes = site.make("nfs/workbench/home")?;
    let shared = site.make("nfs/workbench/shared-storage")?;
    let nobody = nix::unistd::User::from_name("nobody")?.context("nobody")?;
    std::os::unix::fs::chown(&shared, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()))?;

    // # User provisioning
    let user1 = UnixUser::create_named("user1", &homes.join("user1")).await?;
    let user2 = UnixUser::create_named("user2", &homes.join("user2")).await?;

    // # Configuration files: rserver.conf
    for node in &nodes {
        node.append("rserver.conf", &format!("server-shared-storage-path={}\n", shared.display()))?;
        node.edit("rserver.conf", "load-balancing-enabled=0", "load-balancing-enabled=1")?;
        // What one machine that stands for two needs, and the load that this script drives.
        let place = site.path(&node.name);
        node.append(
            "rserver.conf",
            &format!("www-address={}\nnode-name={}\nserver-data-dir={}/run\n", node.ip, node.name, place.display()),
        )?;
        node.append("load-balancer", &format!("www-host-name={}\n", node.ip))?;
    }
    let load = site.path("node1/loadavg");
    set_load(&load, "0.04 0.02 0.00")?;
    nodes[0].append("rserver.conf", &format!("load-average-file={}\n", load.display()))?;

    // # launcher.conf
    for node in &nodes {
        node.edit("launcher.conf", "address=localhost", "address=0.0.0.0")?;
    }

    // # database.conf, for password authorization: encrypted on one node, and with the key distributed to all
    let encrypted = nodes[0].run(&site, &["encrypt-password"], &format!("{PASSWORD}\n"))?;
    ensure!(!encrypted.contains("plain"), "{encrypted}");
    let port = server.port();
    nodes[0].append(
        "database.conf",
        &format!(
            "provider=postgresql\npassword={}\nconnection-uri=postgresql://rstudio@localhost:{port}/rstudio?sslmode=allow\n",
            encrypted.trim()
        ),
    )?;
    for file in [nodes[0].config.join("database.conf"), nodes[0].data.join("secure-cookie-key")] {
        let name = file.file_name().context("a file")?;
        fs::copy(&file, nodes[1].config.join(name)).with_context(|| file.display().to_string())?;
    }

    // # Restart the cluster
    for node in &mut nodes {
        node.restart(&site).await?;
        assert_eq!(mode(&node.config.join("database.conf"))?, 0o600, "closed to others");
    }

    // # Verify: every node is known
    both_are_online(&site, &nodes).await?;

    for node in &nodes {
        let log = fs::read_to_string(node.log())?;
        assert!(log.contains(&format!("the registry is database rstudio on localhost:{port} as rstudio")), "{log}");
    }

    // A node that lacks the key of the cluster makes no other, although all else has been copied to it.
    let (key, aside) = (nodes[1].config.join("secure-cookie-key"), site.path("aside"));
    fs::rename(&key, &aside)?;
    let told = format!("{:#}", nodes[1].run(&site, &["encrypt-password"], PASSWORD).expect_err("it has no key"));
    assert!(told.contains(&format!("copy it from node node1 ({})", nodes[0].authority())), "{told}");
    fs::rename(&aside, &key)?;

    // # Verify: sign in by user name and password, at any node
    let first = Visitor::signed_in(&nodes[0].authority(), &user1).await?;
    let second = Visitor::signed_in(&nodes[1].authority(), &user2).await?;

    // # Verify: four sessions, without joining each when it is ready
    for number in 1..=4 {
        new_session(&first, "jupyterlab", &format!("Session {number}")).await?;
    }
    let four = running(&first, 4).await?;
    assert_eq!(by_node(&four), BTreeMap::from([("node1", 2), ("node2", 2)]));

    // # Verify: each of them can be used, also from the other node
    for session in &four {
        for node in &nodes {
            use_notebook(&first.moved_to(&node.authority()).client(), session, "user1").await?;
        }
    }

    // The sessions as the administrator lists them: everybody's.
    let listed = nodes[1].run(&site, &["active-sessions"], "")?;
    assert!(four.iter().all(|session| listed.contains(&format!("{}  user1", session.id))), "{listed}");
    assert!(!nodes[1].run(&site, &["sessions"], "")?.contains("user1"));

    // # Verify: the status of the cluster
    let cores = cores(&first.client(), "node1").await?;
    let page = status(&first.client()).await?;
    for (node, known) in nodes.iter().zip(&page) {
        assert_eq!((&known.address, known.ip.to_string()), (&node.authority(), node.ip.clone()));
        let mut told = known.sessions.clone();
        let here = four.iter().filter(|session| session.node.name == node.name);
        let mut expected: Vec<_> = here.map(|session| (pid(session), "user1".to_owned())).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
    assert_eq!(page[0].load, [0.04, 0.02, 0.0].map(|load| shown(load / cores)));

    // # Verify: load on one node, and new sessions go elsewhere (by the balancer that looks at it)
    for node in &nodes {
        node.append("load-balancer", "balancer=system-load\n")?;
        node.reload()?;
    }
    set_load(&load, "640.00 640.00 640.00")?;
    wait::until("the load to be on the page and in force", wait::LONG, async || {
        let page = status(&first.client()).await?;
        ensure!(page[0].load[1] == shown(640.0 / cores), "{:?}", page[0].load);
        for node in &nodes {
            let list: Value = serde_json::from_str(&node.run(&site, &["plugin", "list", "--json"], "")?)?;
            let all = list["balancers"].as_array().context("a list")?;
            let active = all.iter().find(|balancer| balancer["state"] == "active").context("none decides")?;
            ensure!(active["name"] == "system-load", "{active}");
        }
        Ok(())
    })
    .await?;
    for number in 5..=7 {
        new_session(&first, "jupyterlab", &format!("Session {number}")).await?;
    }
    let seven = running(&first, 7).await?;
    assert_eq!(by_node(&seven), BTreeMap::from([("node1", 2), ("node2", 5)]));

    // # Verify: what is computed in a session shows in the load of its node
    let busy = seven.iter().find(|session| session.node.name == "node2").context("a session")?;
    load_is_seen(&second.client(), &first.client(), busy).await?;

    // # Verify: one session of each other kind that is installed here
    new_session(&second, "jupyter-notebook", "Notebook").await?;
    if editor.is_some() {
        new_session(&second, "vscode", "Editor").await?;
    }
    for session in running(&second, 1 + usize::from(editor.is_some())).await? {
        let client = second.moved_to(&nodes[0].authority()).client();
        match session.kind.as_str() {
            "vscode" => drop(vscode::open(&client, &session).await?),
            _ => use_notebook(&client, &session, "user2").await?,
        }
        assert_eq!(first.get(&session.path("")).await?.status, 404, "it is another's");
    }

    // As the administrators of the legacy product stop what others have: one by its process, and all of a node.
    let one = four.iter().find(|session| session.node.name == "node1").context("a session")?;
    nodes[0].run(&site, &["suspend-session", &pid(one).to_string()], "")?;
    let suspended = ended_up(&first, "suspended", 1).await?;
    assert_eq!(suspended[0].rest["note"], "suspended by an administrator");
    for node in &nodes {
        node.run(&site, &["kill-all"], "")?;
    }
    ended_up(&first, "ended", 6).await?;
    ended_up(&second, "ended", 1 + usize::from(editor.is_some())).await?;

    // Nothing is left of it.
    first.end(&suspended[0].id).await?;
    for node in &mut nodes {
        node.stop().await?;
    }
    wait::until("every process to end", wait::LONG, async || {
        let left = left(&site);
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_database_is_entered_by_certificate_as_the_page_has_it() -> Result<()> {
    let site = Site::lay_out(Vec::new())?;
    let mut nodes = [Node::install(&site, 3)?, Node::install(&site, 4)?];

    // # Postgres database, configured to use SSL with one's own certificates
    let authority = Authority::new("Certificates of the site");
    let (server, client) = (authority.server(&["localhost"]), authority.client("rstudio"));
    let files = [("ca.pem", authority.certificate()), ("server.pem", server.certificate), ("server.key", server.key)];
    let server = Server::start(&Options {
        settings:
            "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\nssl_ca_file = '../ca.pem'\n"
                .to_owned(),
        hba: "local all all scram-sha-256\nhostssl all rstudio all cert\n".to_owned(),
        files: files.map(|(name, content)| (name.to_owned(), content)).to_vec(),
        ..Options::default()
    });
    server.sql("postgres", "CREATE ROLE rstudio LOGIN");
    server.sql("postgres", "CREATE DATABASE rstudio OWNER rstudio");

    // # Configuration files, with those of the certificate beside them
    for node in &nodes {
        for (name, content) in
            [("client.crt", &client.certificate), ("client.key", &client.key), ("root.crt", &authority.certificate())]
        {
            fs::write(node.config.join(name), content)?;
            fs::set_permissions(node.config.join(name), fs::Permissions::from_mode(0o600))?;
        }
        node.edit("rserver.conf", "load-balancing-enabled=0", "load-balancing-enabled=1")?;
        let place = site.path(&node.name);
        node.append(
            "rserver.conf",
            &format!("www-address={}\nnode-name={}\nserver-data-dir={}/run\n", node.ip, node.name, place.display()),
        )?;
        node.append("load-balancer", &format!("www-host-name={}\n", node.ip))?;
        let (port, directory) = (server.port(), node.config.display());
        node.append(
            "database.conf",
            &format!(
                "provider=postgresql\nconnection-uri=postgresql://rstudio@localhost:{port}/rstudio\
                 ?sslcert={directory}/client.crt&sslkey={directory}/client.key&sslrootcert={directory}/root.crt\n"
            ),
        )?;
    }

    // # Restart the cluster: the first node makes the key, and the other has a copy
    nodes[0].restart(&site).await?;
    wait::until("the key to be made", wait::LONG, async || {
        Ok(fs::copy(nodes[0].data.join("secure-cookie-key"), nodes[1].config.join("secure-cookie-key"))?)
    })
    .await?;
    nodes[1].restart(&site).await?;
    both_are_online(&site, &nodes).await?;
    for node in &mut nodes {
        node.stop().await?;
    }
    Ok(())
}

async fn both_are_online(site: &Site, nodes: &[Node; 2]) -> Result<()> {
    wait::until("both nodes to be online", wait::LONG, async || {
        let list = nodes[1].run(site, &["list-nodes"], "")?;
        for node in nodes {
            let line = list.lines().find(|line| line.contains(&node.ip)).with_context(|| list.clone())?;
            ensure!(line.contains(" Online ") && line.contains(&PORT.to_string()), "{line}");
        }
        Ok(())
    })
    .await
}

/// Starts a session by the form of the home page.
async fn new_session(visitor: &Visitor, kind: &str, name: &str) -> Result<()> {
    let reply = visitor.clone().submit("/sessions", &[("kind", kind), ("name", name)]).await?;
    ensure!(reply.status == 303 && reply.header("location") == "/", "{}: {}", reply.status, reply.text());
    Ok(())
}

/// The sessions that somebody has, once at least so many are active and none is starting.
async fn running(visitor: &Visitor, count: usize) -> Result<Vec<Session>> {
    let client = visitor.client();
    wait::until(&format!("{count} sessions to be active"), wait::LONG * 2, async || {
        let live: Vec<_> = client.sessions().await?.into_iter().filter(Session::is_live).collect();
        let starting = live.iter().filter(|session| session.state == "starting").count();
        ensure!(live.len() >= count && starting == 0, "{} are live, {starting} of them starting", live.len());
        Ok(live)
    })
    .await
}

/// So many sessions of somebody's that are in a state at last.
async fn ended_up(visitor: &Visitor, state: &str, count: usize) -> Result<Vec<Session>> {
    wait::until(&format!("{count} sessions to be {state}"), wait::LONG, async || {
        let all = visitor.client().sessions().await?;
        let such: Vec<_> = all.into_iter().filter(|session| session.state == state).collect();
        ensure!(such.len() == count, "{such:?}");
        Ok(such)
    })
    .await
}

fn by_node(sessions: &[Session]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for session in sessions {
        *counts.entry(session.node.name.as_str()).or_default() += 1;
    }
    counts
}

fn pid(session: &Session) -> u32 {
    session.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default()
}

async fn use_notebook(client: &Client, session: &Session, user: &str) -> Result<()> {
    let mut kernel = Kernel::start(client, session).await?;
    let who = kernel.execute("import getpass; getpass.getuser()").await?;
    ensure!(who == format!("'{user}'"), "{who}");
    kernel.shut_down(client).await
}

async fn status(client: &Client) -> Result<Vec<NodeStatus>> {
    let mut page = status::parse(&client.get("/load-balancer/status").await?.success()?.text())?;
    page.sort_by_key(|node| node.ip);
    ensure!(page.len() == 2, "{page:?}");
    Ok(page)
}

async fn cores(client: &Client, node: &str) -> Result<f64> {
    let nodes = client.nodes().await?;
    Ok(nodes.iter().find(|known| known.name == node).context("no such node")?.cores.into())
}

/// A load divided by processors as the page shows it: two significant digits, and a bare 0.
fn shown(load: f64) -> String {
    if load == 0.0 {
        return "0".to_owned();
    }
    let digits = 1 - load.log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    ((load * scale).round() / scale).to_string()
}

fn set_load(file: &std::path::Path, load: &str) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{load} 1/100 1000\n"))?;
    Ok(fs::rename(new, file)?)
}

/// Keeps processors busy in a session until the kernel's own load average grows, and the status page with it.
async fn load_is_seen(anybody: &Client, owner: &Client, session: &Session) -> Result<()> {
    let cores = cores(anybody, "node2").await?;
    let mut kernel = Kernel::start(owner, session).await?;
    let burn = "import subprocess, sys\n\
                burners = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(8)]\n\
                len(burners)";
    ensure!(kernel.execute(burn).await? == "8", "they do not run");
    let mut least = f64::INFINITY;
    let seen = wait::until("the load to grow", Duration::from_secs(180), async || {
        let text = fs::read_to_string("/proc/loadavg")?;
        let now: f64 = text.split(' ').next().context("a load")?.parse()?;
        least = least.min(now);
        let told: f64 = status(anybody).await?[1].load[0].parse()?;
        // A number that is rounded to two digits, and a heartbeat old.
        ensure!(now >= least + 0.3 && (told * cores - now).abs() <= 0.1 * now, "{now}, at least {least}, told {told}");
        Ok(())
    });
    seen.await?;
    kernel.execute("[burner.kill() or burner.wait() for burner in burners] and 0").await?;
    kernel.shut_down(owner).await
}
