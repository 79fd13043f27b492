//! What a script is given, and as whom it runs.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

#[test]
fn a_script_is_given_the_user_the_nodes_and_little_else() {
    let mut bench = Bench::new("");
    let seen = bench.path("seen");
    // Not a shell, which adds variables of its own.
    let text = format!("#!/usr/bin/env -S sh -c 'env | sort > {}; pwd >> {0}; echo n1:8787'\n", seen.display());
    fs::write(&bench.setup.program, text).expect("it is ours");
    let environment = [("PATH", "/usr/bin:/bin"), ("HOME", "/home/x"), ("LANG", "C.UTF-8")];
    bench.setup.environment = environment.map(|(name, value)| (name.into(), value.into())).into();
    assert_eq!(bench.node(), 0);
    let seen = fs::read_to_string(seen).expect("it was written");
    let expected = "HOME=/home/x\nLANG=C.UTF-8\nPATH=/usr/bin:/bin\nPWD=/\nRSTUDIO_NODES=n1:8787,n2:8787,n3:8788\n\
                    RSTUDIO_USERNAME=ada\n/\n";
    assert_eq!(seen, expected);
}

#[test]
fn standard_input_is_empty() {
    let bench = Bench::new("cat; echo n2:8787");
    assert_eq!(bench.node(), 1);
}

#[test]
fn no_user_name_reaches_a_shell() {
    let bench = Bench::new("");
    let (seen, harm) = (bench.path("seen"), bench.path("harm"));
    let script = format!("#!/bin/sh\nprintf %s \"$RSTUDIO_USERNAME\" > {}\necho n1:8787\n", seen.display());
    fs::write(&bench.setup.program, script).expect("it is ours");
    let harm = harm.display();
    for name in [
        "o'brien".to_owned(),
        "say \"hello\"".to_owned(),
        "two words".to_owned(),
        format!("x; touch {harm}"),
        format!("$(touch {harm})`touch {harm}`"),
        format!("x\ntouch {harm}\n"),
        "-n".to_owned(),
        "a=b".to_owned(),
        String::new(),
    ] {
        let request = Request { username: name.clone(), ..Request::default() };
        bench.ask(&Question { request, ..question() }).expect("an answer");
        assert_eq!(fs::read_to_string(&seen).expect("it was written"), name);
        assert!(!bench.path("harm").exists(), "{name}");
    }
    let request = Request { username: "nul\0".to_owned(), ..Request::default() };
    let refusal = bench.ask(&Question { request, ..question() }).expect_err("no name").to_string();
    assert!(refusal.contains("cannot be run"), "{refusal}");
}

#[test]
fn where_nodes_are_resolved_the_answer_is_an_address_and_maps_back() {
    let mut bench = Bench::new("echo \"${RSTUDIO_NODES#*,}\" | cut -d, -f1");
    assert_eq!(bench.node(), 1);
    bench.setup.resolve = true;
    assert_eq!(bench.node(), 1);
    let mut bench = Bench::new("echo \"$RSTUDIO_NODES\"");
    bench.setup.resolve = true;
    let failure = bench.failure();
    assert!(failure.starts_with("printed `10.0.0.1:8787,[fd00::2]:8787,n3:8788`"), "{failure}");
}

#[test]
fn a_script_runs_as_the_account_it_is_given_with_no_group_but_its_own() {
    let mut bench = Bench::new("echo \"$(id -u) $(id -g) $(id -G)\"");
    let account = if nix::unistd::geteuid().is_root() {
        Account::find(Some("nobody")).expect("every system has it")
    } else {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Account { name: "self".to_owned(), uid, gid, home: "/".into() }
    };
    let expected = format!("printed `{} {} ", account.uid, account.gid);
    let alone = format!("printed `{} {} {1}`,", account.uid, account.gid);
    bench.setup.account = Some(account);
    let failure = bench.failure();
    assert!(failure.starts_with(&expected), "{failure}");
    if nix::unistd::geteuid().is_root() {
        assert!(failure.starts_with(&alone), "{failure}");
    }
}

#[test]
fn a_script_that_others_could_have_written_is_not_run() {
    let mut bench = Bench::new("echo n1:8787");
    bench.setup.trust = Trust::Owners(vec![0, nix::unistd::geteuid().as_raw()]);
    assert_eq!(bench.node(), 0);
    fs::set_permissions(bench.directory.path(), fs::Permissions::from_mode(0o775)).expect("it is ours");
    let expected = format!(
        "is not run: {} can be written to by its group or by others; run chmod go-w on it",
        bench.directory.path().display()
    );
    assert_eq!(bench.failure(), expected);
}
