//! What a daemon starts with.

use super::*;

#[test]
fn a_name_is_its_file_where_there_is_one_and_the_builtin_else() {
    let bed = Bed::new();
    let plugins = bed.open("user-hash").expect("it starts");
    assert_eq!(in_force(&plugins), builtin::module("user-hash").map(digest));
    assert_eq!((report(&plugins).source, report(&plugins).last_error), (Some(Source::Builtin), None));
    bed.put("user-hash", &ONE);
    let (plugins, lines) = logged(|| bed.open("user-hash").expect("it starts"));
    assert_eq!((in_force(&plugins), report(&plugins).source), (Some(digest(&ONE)), Some(Source::File)));
    assert!(lines.iter().any(|line| line.contains("takes the place of the builtin balancer")), "{lines:#?}");
    // And for as long as it does, not only where somebody reads the log.
    assert_eq!(report(&plugins).warnings, ["it takes the place of the builtin balancer user-hash"]);
    fs::remove_file(bed.file("user-hash")).expect("it is removed");
    assert!(look(&plugins));
    assert_eq!(report(&plugins).warnings, Vec::<String>::new());
}

#[test]
fn without_a_plugins_directory_the_builtins_are_there() {
    let bed = Bed::new();
    fs::remove_dir(bed.directory()).expect("it is removed");
    let plugins = bed.open("sessions").expect("it starts");
    assert_eq!((report(&plugins).state, report(&plugins).last_error), (State::Active, None));
    assert_eq!(report(&bed.open("mine").expect("it starts")).state, State::Missing);
}

#[test]
fn a_balancer_that_is_not_there_is_missing_and_another_answers_until_it_is() {
    let bed = Bed::new();
    bed.put("gpu", &ONE);
    bed.put("best-fit", &ONE);
    let expected = format!(
        "there is no balancer of that name; builtin are: sessions, system-load, user-hash; {} has: best-fit, gpu",
        bed.directory().display()
    );
    let (plugins, lines) = logged(|| bed.open("mine").expect("it starts"));
    assert!(lines.iter().any(|line| line.contains("ERROR") && line.contains(&expected)), "{lines:#?}");
    let reports = plugins.reports();
    assert_eq!((reports[0].state, reports[0].last_error.as_ref()), (State::Missing, Some(&expected)));
    assert_eq!((reports[1].name.as_str(), reports[1].state), ("sessions", State::StandingIn));
    let decided = plugins.policy().rank(&trial::made_up(2)).expect("an answer");
    assert_eq!(
        (decided.balancer.name(), decided.fallback.map(|(why, _)| why)),
        ("sessions", Some(format!("balancer mine failed: {expected}")))
    );
    bed.put("mine", &OTHER);
    assert!(look(&plugins));
    assert_eq!((in_force(&plugins), report(&plugins).last_error), (Some(digest(&OTHER)), None));
    // But a failure that refuses sessions had better be told at once.
    let error = Plugins::open(bed.selection("yours"), None, Arc::new(Seconds::default())).expect_err("refused");
    assert!(matches!(error, SelectionError::Missing { .. }), "{error}");
}

#[test]
fn settings_that_a_plugin_refuses_are_bad_configuration_from_the_start() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let open = |selection| {
        let other = builtin::stand_in("sessions", BTreeMap::new(), &ENGINE).expect("it loads");
        Plugins::open(selection, Some(other), Arc::new(Seconds::default()))
    };
    let mut selection = bed.selection("mine");
    selection.terms.settings.insert("stride".to_owned(), "2".to_owned());
    let error = open(selection).expect_err("refused").to_string();
    assert!(error.ends_with("mine.wasm: there is no setting stride; there are none"), "{error}");
}

#[test]
fn a_name_does_not_lead_out_of_the_directory() {
    let bed = Bed::new();
    for name in ["", "../mine", "a/b", ".hidden", "/etc/passwd", "a\0b", &"x".repeat(65)] {
        assert!(matches!(bed.open(name), Err(SelectionError::Name)), "{name:?}");
    }
}

#[test]
fn a_bad_file_with_nothing_before_it_is_refused_and_another_answers() {
    let bed = Bed::new();
    bed.put("mine", b"this is text");
    let plugins = bed.open("mine").expect("it starts");
    let first = report(&plugins);
    assert_eq!((first.state, first.source), (State::Missing, None));
    assert!(first.last_error.is_some_and(|error| error.starts_with(bed.file("mine").to_str().expect("a path"))));
    assert_eq!(refused(&plugins).expect("it is shown").digest, Some(digest(b"this is text")));
    let decided = plugins.policy().rank(&trial::made_up(2)).expect("an answer");
    assert_eq!(decided.balancer.name(), "sessions");
    fs::remove_file(bed.file("mine")).expect("it is removed");
    assert!(look(&plugins));
    assert_eq!(refused(&plugins), None);
    let why = report(&plugins).last_error.expect("it is missing");
    assert_eq!(why, format!("there is no {}", bed.file("mine").display()));
    // Where nothing may stand in, there is nothing to start with.
    bed.put("mine", b"this is text");
    let error = Plugins::open(bed.selection("mine"), None, Arc::new(Seconds::default())).expect_err("refused");
    assert!(matches!(error, SelectionError::Rejected { .. }), "{error}");
    // But the builtin of its name was there before it.
    bed.put("sessions", b"this is text");
    let plugins = bed.open("sessions").expect("it starts");
    assert_eq!(
        (report(&plugins).source, in_force(&plugins)),
        (Some(Source::Builtin), builtin::module("sessions").map(digest))
    );
    assert_eq!(refused(&plugins).expect("it is shown").digest, Some(digest(b"this is text")));
}

#[test]
fn the_last_good_module_outlasts_a_restart_with_a_bad_file_or_with_the_directory_away() {
    let bed = Bed::new();
    bed.put("mine", &OTHER);
    drop(bed.open("mine").expect("it starts"));
    let kept = |expected: &str| {
        let plugins = bed.open("mine").expect("it starts");
        let report = report(&plugins);
        assert_eq!((report.state, report.source), (State::StandingIn, Some(Source::Kept)));
        assert!(report.last_error.as_deref().is_some_and(|error| error.contains(expected)), "{report:?}");
        assert_eq!(in_force(&plugins), Some(digest(&OTHER)));
        plugins
    };
    bed.put("mine", b"this is text");
    let plugins = kept("has changed since the daemon stopped");
    assert!(look(&plugins));
    assert!(
        refused(&plugins).expect("it is shown").last_error.expect("an error").contains("is not a WebAssembly module")
    );
    // The same bytes again are no longer a stand-in.
    bed.put("mine", &OTHER);
    assert!(look(&plugins));
    assert_eq!((report(&plugins).state, report(&plugins).source), (State::Active, Some(Source::File)));
    fs::rename(bed.directory(), bed.root.path().join("away")).expect("it is moved");
    let plugins = kept("there is no such directory");
    // As a mount point looks when nothing is mounted, to a daemon that runs and to one that starts.
    bed.make_directory();
    assert!(look(&plugins));
    assert_eq!(in_force(&plugins), Some(digest(&OTHER)));
    kept("is its file system mounted?");
    fs::remove_dir(bed.directory()).expect("it is removed");
    fs::rename(bed.root.path().join("away"), bed.directory()).expect("it is back");
    assert_eq!(report(&bed.open("mine").expect("it starts")).source, Some(Source::File));
}

#[test]
fn a_start_does_not_wait_for_a_file_that_has_changed_where_there_is_a_last_good_module() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    drop(bed.open("mine").expect("it starts"));
    bed.put("mine", &OTHER);
    let plugins = bed.open("mine").expect("it starts");
    assert_eq!((in_force(&plugins), report(&plugins).source), (Some(digest(&ONE)), Some(Source::Kept)));
    assert!(look(&plugins));
    assert_eq!((in_force(&plugins), report(&plugins).source), (Some(digest(&OTHER)), Some(Source::File)));
    assert_eq!(report(&plugins).last_error, None);
}

#[test]
fn a_file_that_was_removed_does_not_return_with_a_restart() {
    let bed = Bed::new();
    for runs_meanwhile in [true, false] {
        bed.put("sessions", &ONE);
        let plugins = bed.open("sessions").expect("it starts");
        assert_eq!(in_force(&plugins), Some(digest(&ONE)));
        fs::remove_file(bed.file("sessions")).expect("it is removed");
        if runs_meanwhile {
            assert!(look(&plugins));
        }
        drop(plugins);
        let plugins = bed.open("sessions").expect("it starts");
        assert_eq!(in_force(&plugins), builtin::module("sessions").map(digest), "{runs_meanwhile}");
        assert_eq!((report(&plugins).state, report(&plugins).last_error), (State::Active, None));
        // Nor where nobody can look any more.
        fs::rename(bed.directory(), bed.root.path().join("away")).expect("it is moved");
        assert_eq!(report(&bed.open("sessions").expect("it starts")).source, Some(Source::Builtin));
        fs::rename(bed.root.path().join("away"), bed.directory()).expect("it is back");
    }
}

#[test]
fn a_directory_that_was_mounted_anew_holds_what_is_in_force() {
    let bed = Bed::new();
    bed.put("sessions", &ONE);
    let plugins = bed.open("sessions").expect("it starts");
    fs::rename(bed.directory(), bed.root.path().join("away")).expect("it is moved");
    bed.make_directory();
    bed.put("sessions", &ONE);
    assert!(look(&plugins));
    drop(plugins);
    // That it was removed from there is then known after a restart too.
    fs::remove_file(bed.file("sessions")).expect("it is removed");
    assert_eq!(report(&bed.open("sessions").expect("it starts")).source, Some(Source::Builtin));
}

#[test]
fn a_file_or_a_kept_module_that_is_not_listed_is_refused_unread() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    bed.open("mine").expect("it is taken");
    let listing = |allowed: Vec<String>| {
        let mut selection = bed.selection("mine");
        selection.terms.allowed = allowed;
        Plugins::open(selection, None, Arc::new(Seconds::default()))
    };
    listing(vec![digest(&OTHER), digest(&ONE)]).expect("it is listed");
    let error = listing(vec![digest(&OTHER)]).expect_err("neither the file nor the kept one is listed").to_string();
    assert!(error.contains(&digest(&ONE)) && error.contains("plugins-sha256"), "{error}");
    bed.put("mine", b"no module at all");
    let error = listing(vec![digest(&OTHER)]).expect_err("refused").to_string();
    assert!(error.contains("plugins-sha256"), "{error}");
}

#[test]
fn what_belongs_to_another_than_root_is_taken_where_that_is_the_server_user() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let own = nix::unistd::geteuid();
    let owner = if own.is_root() { 4_321 } else { own.as_raw() };
    for path in [bed.root.path().to_owned(), bed.directory(), bed.file("mine")] {
        std::os::unix::fs::chown(path, Some(owner), None).expect("it is theirs");
    }
    let open = |owners| {
        let mut selection = bed.selection("mine");
        selection.terms.trust = Trust::Owners(owners);
        Plugins::open(selection, None, Arc::new(Seconds::default()))
    };
    let error = open(vec![0]).expect_err("refused").to_string();
    assert!(error.contains(&format!("belongs to user id {owner}, and must be root's or the server user's")), "{error}");
    assert_eq!(in_force(&open(vec![0, owner]).expect("it is taken")), Some(digest(&ONE)));
}
