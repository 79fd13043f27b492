//! Starting: what is found, what is refused, and what is said when it fails.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use evenkeel::{
    domain::Epoch,
    launcher::{Address, Exit, LaunchError, Launcher, Running},
};

use crate::support::{Ground, id, is_alive, stop, until};

#[tokio::test]
async fn a_program_starts_answers_is_reached_and_leaves_nothing_behind() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let running = launcher.start(&ground.launch("serve", "")).await.unwrap();
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    assert_eq!(launcher.running().await, std::slice::from_ref(&running));
    let expected = Running {
        id: id(),
        epoch: Epoch::FIRST,
        user: ground.account.name.clone(),
        kind: "test".into(),
        pid: running.pid,
    };
    assert_eq!(running, expected);
    assert!(is_alive(running.pid.cast_signed()));

    let upstream = launcher.upstream(id()).unwrap();
    assert_eq!(upstream.address, Address::Unix(ground.session().join("own/ide.sock")));
    assert_eq!(upstream.uid, nix::unistd::geteuid().as_raw());
    let (name, value) = &upstream.headers[0];
    assert!(name == "authorization" && value.to_str().unwrap().len() > "token ".len() + 40);
    assert!(!format!("{upstream:?}").contains(value.to_str().unwrap()), "the secret is not for logs");
    // It answers before all that it has said is in the log.
    let said = "this is the program";
    until("its words to be in the log", || std::fs::read_to_string(ground.log()).unwrap().contains(said)).await;
    assert!(launcher.log_tail(id(), 100).await.unwrap().contains(said));

    stop(&ground, &launcher, Epoch::FIRST).await;
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Signal(15));
    launcher.stop(id(), Epoch::FIRST).await.unwrap();
    assert!(ground.log().exists(), "the log outlives the program");
    launcher.forget(id()).await;
    assert!(!ground.log().parent().unwrap().exists());
    assert!(matches!(launcher.log_tail(id(), 1).await, Err(LaunchError::NoLog(_))));
}

#[tokio::test]
async fn the_secret_is_on_no_command_line_and_in_no_file_that_others_can_read() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.launch("serve", "")).await.unwrap();
    let value = launcher.upstream(id()).unwrap().headers[0].1.clone();
    let secret = value.to_str().unwrap().strip_prefix("token ").unwrap().to_owned();
    for stat in ground.processes() {
        let line = std::fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap();
        assert!(!String::from_utf8_lossy(&line).contains(&secret));
    }
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let closed = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    assert_eq!(mode(&ground.runtime()), closed);
    assert_eq!(mode(&ground.session()), 0o700);
    assert_eq!(mode(&ground.session().join("own")), 0o700);
    assert_eq!(mode(&ground.session().join("control.sock")), 0o700);
    assert_eq!(mode(&ground.session().join("state.json")), 0o600);
    assert_eq!(mode(&ground.log()), 0o600);
    stop(&ground, &launcher, Epoch::FIRST).await;
}

#[tokio::test]
async fn a_program_that_ends_early_is_told_with_its_log() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.launch("fail", "")).await.unwrap();
    let error = launcher.ready(id(), Epoch::FIRST).await.unwrap_err();
    let LaunchError::EndedEarly { exit, log } = &error else { panic!("{error}") };
    assert_eq!(*exit, Exit::Status(3));
    assert!(log.contains("no such licence"), "{log}");
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(3));
    assert_eq!(launcher.watch(id(), Epoch(2)).await, Exit::Unknown, "no such start");
}

#[tokio::test]
async fn a_program_that_does_not_answer_as_it_should_is_not_ready_in_time() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let launch = ground.launch("unwell", "");
    let mut kind = (*launch.kind).clone();
    kind.ready.as_mut().unwrap().limit = Duration::from_secs(1);
    let launch = evenkeel::launcher::Launch { kind: kind.into(), ..launch };
    launcher.start(&launch).await.unwrap();
    let error = launcher.ready(id(), Epoch::FIRST).await.unwrap_err();
    assert!(matches!(error, LaunchError::NotReady { seconds: 1, .. }), "{error}");
    stop(&ground, &launcher, Epoch::FIRST).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named_with_what_the_system_says() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let file = not_a_program(&ground);
    let launch = ground.script("");
    for program in [file.as_str(), "no-program-has-this-name"] {
        let mut kind = (*launch.kind).clone();
        kind.program = program.to_owned();
        let launch = evenkeel::launcher::Launch { kind: kind.into(), ..launch.clone() };
        let error = launcher.start(&launch).await.unwrap_err();
        assert!(matches!(error, LaunchError::Program { .. }), "{error}");
        assert!(error.to_string().contains(program), "{error}");
        assert!(!ground.session().exists());
        assert_eq!(launcher.running().await, []);
    }
}

#[tokio::test]
async fn what_a_login_shell_cannot_execute_is_told_in_its_words() {
    let mut ground = Ground::new();
    ground.options.login_shell = true;
    ground.account.home = "/".into();
    ground.account.shell = "/bin/sh".into();
    let launcher = ground.launcher();
    let mut kind = (*ground.script("").kind).clone();
    kind.program = not_a_program(&ground);
    let launch = evenkeel::launcher::Launch { kind: kind.clone().into(), ..ground.script("") };
    launcher.start(&launch).await.unwrap();
    let error = launcher.ready(id(), Epoch::FIRST).await.unwrap_err();
    assert!(matches!(error, LaunchError::EndedEarly { .. }), "{error}");
    assert!(error.to_string().contains(&kind.program), "{error}");
}

/// A file that may be executed and cannot be.
fn not_a_program(ground: &Ground) -> String {
    let file = ground.runtime().join("not-a-program");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_higher_epoch_takes_the_place_of_a_lower_one_and_no_other_does() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let launch = ground.launch("serve", "");
    let first = launcher.start(&launch).await.unwrap();
    let error = launcher.start(&launch).await.unwrap_err();
    assert!(error.to_string().contains("epoch 1 already"), "{error}");

    let next = evenkeel::launcher::Launch { epoch: Epoch::FIRST.next(), ..launch };
    let second = launcher.start(&next).await.unwrap();
    assert!(!is_alive(first.pid.cast_signed()));
    assert_eq!(launcher.running().await, std::slice::from_ref(&second));
    launcher.stop(id(), Epoch::FIRST).await.unwrap();
    assert!(is_alive(second.pid.cast_signed()), "a stop of the lower epoch is void");
    assert!(launcher.signal(id(), Epoch::FIRST, nix::sys::signal::Signal::SIGKILL).await.is_err());
    launcher.ready(id(), next.epoch).await.unwrap();
    stop(&ground, &launcher, next.epoch).await;
}

#[tokio::test]
async fn many_start_at_once() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let ids = ["00000001", "00000002", "00000003", "00000004", "00000005", "00000006"].map(|id| id.parse().unwrap());
    let starts = ids.map(|id| {
        let launch = evenkeel::launcher::Launch { id, ..ground.script("exec sleep 1000") };
        let launcher = &launcher;
        async move { launcher.start(&launch).await.map(|running| running.id) }
    });
    let mut started: Vec<_> = futures_util::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
    started.sort();
    assert_eq!(started, ids);
    assert_eq!(launcher.running().await.len(), ids.len());
    futures_util::future::join_all(ids.map(|id| launcher.stop(id, Epoch::FIRST))).await;
    assert_eq!(launcher.running().await, []);
}

#[tokio::test]
async fn a_program_on_a_port_is_probed_there_with_its_secret() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let own = std::env::current_exe().unwrap();
    let launch = ground.launch_kind(&format!(
        r#"
        name = "port"
        title = "Port"
        program = "{}"
        arguments = ["program", "--exact", "--ignored", "--nocapture", "--test-threads=1"]
        listen = "port"
        base-path = "stripped"
        suspend = "loses"
        environment = {{ ACT = "serve", PORT = "{{port}}", SECRET = "{{secret}}" }}
        headers = {{ Authorization = "token {{secret}}" }}
        ready = {{ path = "{{base_path}}status", statuses = [204], seconds = 30 }}
        directory = "/"
        "#,
        own.display()
    ));
    launcher.start(&launch).await.unwrap();
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    let address = launcher.upstream(id()).unwrap().address.clone();
    let Address::Loopback(port) = address else { panic!("{address:?}") };
    assert_eq!(
        evenkeel::launcher::listener::uid((std::net::Ipv4Addr::LOCALHOST, port).into()),
        Some(nix::unistd::geteuid().as_raw())
    );
    stop(&ground, &launcher, Epoch::FIRST).await;
}
