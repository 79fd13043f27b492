//! Signing in by password: real Unix accounts, the real PAM, services of every temper. Takes root.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{
    Builder, Client, Cluster,
    accounts::{PamService, UnixUser, require_root},
    own::OwnDaemon,
    processes,
    visitor::Visitor,
    wait,
};
use futures_util::future::{join_all, try_join_all};
use hyper::StatusCode;

/// A cluster whose people sign in by a service.
async fn start(nodes: usize, service: &PamService) -> Result<Cluster> {
    require_root();
    Builder::for_test(nodes)?.setting("auth-pam-service", &service.name).start().await
}

#[tokio::test]
async fn a_password_signs_in_at_one_node_and_the_cookie_holds_on_three() -> Result<()> {
    let (service, user) = (PamService::unix()?, UnixUser::create("pam").await?);
    let cluster = start(3, &service).await?;
    let visitor = Visitor::signed_in(&cluster.nodes()[1].authority(), &user).await?;
    for node in cluster.nodes() {
        let home = visitor.moved_to(&node.authority()).visit("/").await?;
        assert_eq!(home.status, 200, "{}", node.name);
        assert!(home.text().contains(&format!("<span>{}</span>", user.name)), "{}", home.text());
        let sessions = visitor.moved_to(&node.authority()).get("/api/v1/sessions").await?;
        assert_eq!(sessions.status, 200);
    }
    let log = cluster.nodes()[1].log();
    assert!(log.contains("signed in by password") && log.contains(&user.name), "{log}");
    assert!(log.contains("127.0.0.1") && !log.contains(&user.password), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_one_answer_in_one_time() -> Result<()> {
    let (service, user) = (PamService::unix()?, UnixUser::create("pam").await?);
    let cluster = start(1, &service).await?;
    let authority = cluster.nodes()[0].authority();
    let try_one = async |name: &str, password: &str| {
        let begun = Instant::now();
        let reply = Visitor::at(&authority).give_password(name, password).await?;
        anyhow::Ok((reply.status, reply.text().replace(name, "NAME"), begun.elapsed()))
    };
    let (wrong, unknown) = tokio::try_join!(try_one(&user.name, "wrong"), try_one("ek-pam-nobody", "wrong"))?;
    assert_eq!(wrong.0, StatusCode::FORBIDDEN);
    assert!(wrong.1.contains("The user name or the password is not right."), "{}", wrong.1);
    assert_eq!((unknown.0, unknown.1), (wrong.0, wrong.1));
    for elapsed in [wrong.2, unknown.2] {
        assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    }
    let mut visitor = Visitor::at(&authority);
    visitor.give_password("a\u{1b}[31m\nb", "wrong").await?;
    let log = cluster.nodes()[0].log();
    assert!(log.contains("sign-in refused: no such user, or another password"), "{log}");
    assert!(log.contains("a [31m b") && !log.contains("a\u{1b}[31m"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_expired_account_and_an_expired_password_are_told_to_their_owner_alone() -> Result<()> {
    let service = PamService::unix()?;
    let (gone, stale) = tokio::try_join!(UnixUser::create("pam"), UnixUser::create("pam"))?;
    gone.change(&["--expiredate", "1"]).await?;
    stale.expire_password().await?;
    let cluster = start(1, &service).await?;
    let authority = cluster.nodes()[0].authority();
    for (user, told) in [(&gone, "the account has expired"), (&stale, "the password has expired; sign in to a machine")]
    {
        let mut visitor = Visitor::at(&authority);
        let reply = visitor.give_password(&user.name, &user.password).await?;
        assert_eq!((reply.status, visitor.cookie.as_str()), (StatusCode::FORBIDDEN, ""));
        assert!(reply.text().contains(told), "{}", reply.text());
        let wrong = visitor.give_password(&user.name, "wrong").await?;
        assert!(wrong.text().contains("is not right") && !wrong.text().contains("expired"), "{}", wrong.text());
    }
    Ok(())
}

#[tokio::test]
async fn what_the_service_says_to_whom_it_does_not_let_in_is_shown() -> Result<()> {
    let user = UnixUser::create("pam").await?;
    let notice = tempfile::NamedTempFile::new()?;
    fs::write(notice.path(), "Back at <noon>.\n")?;
    let text = format!(
        "auth required pam_unix.so\naccount required pam_nologin.so file={}\naccount required pam_unix.so\n",
        notice.path().display()
    );
    let service = PamService::create(&text)?;
    let cluster = start(1, &service).await?;
    let mut visitor = Visitor::at(&cluster.nodes()[0].authority());
    let reply = visitor.give_password(&user.name, &user.password).await?;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.text().contains("may not sign in here now (Back at &#60;noon&#62;.)"), "{}", reply.text());
    drop(notice);
    let reply = visitor.give_password(&user.name, &user.password).await?;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    Ok(())
}

#[tokio::test]
async fn a_module_that_hangs_holds_up_nobody_else_and_leaves_nothing() -> Result<()> {
    require_root();
    let user = UnixUser::create("pam").await?;
    let seconds = format!("98{}", std::process::id());
    let service = PamService::create(&format!("auth required pam_exec.so quiet /bin/sleep {seconds}\n"))?;
    let cluster = Builder::for_test(1)?
        .setting("auth-pam-service", &service.name)
        .setting("auth-pam-timeout", "3")
        .start()
        .await?;
    let authority = cluster.nodes()[0].authority();
    let asleep = || processes::marked(&format!("/bin/sleep {seconds}"));
    let attempts = join_all((0..5).map(async |_| Visitor::at(&authority).give_password(&user.name, "x").await));
    let others = async {
        wait::until("the module to hang", wait::LONG, async || {
            ensure!(asleep().len() >= 5, "{} hang", asleep().len());
            Ok(())
        })
        .await?;
        let client = Client::of(&authority, &cluster.nodes()[0].files.data)?;
        assert_eq!(client.get("/api/v1/sessions").await?.status, 200);
        assert!(!asleep().is_empty(), "answered meanwhile");
        anyhow::Ok(())
    };
    let (attempts, others) = tokio::join!(attempts, others);
    others?;
    for reply in attempts {
        let reply = reply?;
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
        assert!(reply.text().contains("Passwords cannot be checked now"), "{}", reply.text());
    }
    wait::until("the module to be gone", wait::LONG, async || {
        ensure!(asleep().is_empty(), "{:?}", asleep());
        ensure!(cluster.processes().iter().all(|one| !one.command.contains("check-password")), "a child is left");
        Ok(())
    })
    .await?;
    let log = cluster.nodes()[0].log();
    let expected = format!("the PAM service {} gave no answer within 3 s; auth-pam-timeout says", service.name);
    assert!(log.contains(&expected), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_module_that_crashes_takes_its_own_check_with_it_and_nothing_else() -> Result<()> {
    let user = UnixUser::create("pam").await?;
    let service = PamService::create("auth required pam_exec.so quiet /bin/sh -c [kill -ABRT $PPID]\n")?;
    let cluster = start(1, &service).await?;
    let reply = Visitor::at(&cluster.nodes()[0].authority()).give_password(&user.name, &user.password).await?;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    let log = cluster.nodes()[0].log();
    assert!(log.contains("a module broke down (SIGABRT)"), "{log}");
    assert_eq!(cluster.client(0)?.get("/api/v1/sessions").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_the_others_are_not() -> Result<()> {
    let service = PamService::unix()?;
    let (victim, other) = tokio::try_join!(UnixUser::create("pam"), UnixUser::create("pam"))?;
    let cluster = start(1, &service).await?;
    let authority = cluster.nodes()[0].authority();
    let guesses = (0..25).map(async |turn| {
        let reply = Visitor::at(&authority).give_password(&victim.name, &format!("guess {turn}")).await?;
        anyhow::Ok(reply.status)
    });
    let statuses = try_join_all(guesses).await?;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::FORBIDDEN).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count(), 15);
    let reply = Visitor::at(&authority).give_password(&victim.name, &victim.password).await?;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = reply.header("retry-after").parse()?;
    assert!((1..=60).contains(&wait), "{wait}");
    Visitor::signed_in(&authority, &other).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_reaches_no_session_of_another_on_any_node() -> Result<()> {
    let (service, user) = (PamService::unix()?, UnixUser::create("pam").await?);
    let cluster = start(3, &service).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let visitor = Visitor::signed_in(&cluster.nodes()[0].authority(), &user).await?;
    for node in cluster.nodes() {
        let visitor = visitor.moved_to(&node.authority());
        assert_eq!(visitor.visit(&session.path("")).await?.status, 404, "{}", node.name);
        assert_eq!(visitor.socket(&session.path("ws")).await?.err(), Some(StatusCode::NOT_FOUND), "{}", node.name);
        assert_eq!(visitor.get(&format!("/api/v1/sessions/{}", session.id)).await?.status, 404);
        assert_eq!(visitor.get(&format!("/api/v1/sessions/{}/log", session.id)).await?.status, 404);
        let end = visitor.clone().submit(&format!("/sessions/{}/end", session.id), &[]).await?;
        assert_eq!(end.status, 404, "{}", end.text());
        assert!(!visitor.visit("/").await?.text().contains(&session.id));
    }
    assert_eq!(cluster.client(0)?.session(&session.id).await?.state, "active");
    Ok(())
}

#[tokio::test]
async fn a_session_that_is_opened_without_a_sign_in_is_there_after_it() -> Result<()> {
    let (service, user) = (PamService::unix()?, UnixUser::create("pam").await?);
    let cluster = start(1, &service).await?;
    let mut visitor = Visitor::at(&cluster.nodes()[0].authority());
    let reply = visitor.visit("/s/7k3n9v2q/lab?a=b").await?;
    let form = reply.header("location").to_owned();
    assert_eq!((reply.status, form.as_str()), (StatusCode::SEE_OTHER, "/sign-in?next=/s/7k3n9v2q/lab%3Fa%3Db"));
    let page = visitor.visit(&form).await?.text();
    let next = page.split("name=\"next\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let next = next.context("no next")?.to_owned();
    let fields = [("user", user.name.as_str()), ("password", user.password.as_str()), ("next", next.as_str())];
    let reply = visitor.submit("/sign-in", &fields).await?;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/s/7k3n9v2q/lab?a=b"));
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_is_not_root_signs_in_its_own_user_alone() -> Result<()> {
    require_root();
    let service = PamService::unix()?;
    let (own, other) = tokio::try_join!(UnixUser::create("pam"), UnixUser::create("pam"))?;
    let daemon = OwnDaemon::start(&own, "n1", &service).await?;
    let authority = daemon.authority.clone();
    let page = Visitor::at(&authority).visit("/sign-in").await?.text();
    assert!(page.contains(&format!("only <strong>{}</strong>", own.name)), "{page}");
    let reply = Visitor::at(&authority).give_password(&other.name, &other.password).await?;
    let told = format!("Only {}, whom this server runs as, can sign in here", own.name);
    assert!(reply.status == StatusCode::FORBIDDEN && reply.text().contains(&told), "{}", reply.text());
    let reply = Visitor::at(&authority).give_password(&own.name, "wrong").await?;
    assert!(reply.text().contains("is not right"), "{}", reply.text());
    Visitor::signed_in(&authority, &own).await?;
    daemon.stop().await
}

#[tokio::test]
async fn a_service_that_is_named_and_not_there_is_bad_configuration() -> Result<()> {
    let cluster = Builder::for_test(1)?.setting("auth-pam-service", "ek-pam-no-such-service").prepare()?;
    let files = &cluster.nodes()[0].files;
    let mut serve = cluster.command(&["serve", "--config-dir"])?;
    let output = serve.arg(&files.config).arg("--data-dir").arg(&files.data).output()?;
    let message = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(
        message.contains("auth-pam-service=ek-pam-no-such-service: there is no such file in /etc/pam.d"),
        "{message}"
    );
    Ok(())
}
