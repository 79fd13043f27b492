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
    assert!(lines.iter().any(|line| line.contains("takes the place of the builtin")), "{lines:#?}");
}

#[test]
fn without_a_plugins_directory_the_builtins_are_there() {
    let bed = Bed::new();
    fs::remove_dir(bed.directory()).expect("it is removed");
    let plugins = bed.open("sessions").expect("it starts");
    assert_eq!((report(&plugins).state, report(&plugins).last_error), (State::Active, None));
    assert!(matches!(bed.open("mine"), Err(SelectionError::Missing { .. })));
}

#[test]
fn a_name_that_nothing_has_is_refused_with_those_there_are() {
    let bed = Bed::new();
    bed.put("gpu", &ONE);
    bed.put("best-fit", &ONE);
    let error = bed.open("mine").expect_err("there is none").to_string();
    let directory = bed.directory();
    let expected = format!(
        "there is no balancer of that name; builtin are: sessions, system-load, user-hash; {} has: best-fit, gpu",
        directory.display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_name_does_not_lead_out_of_the_directory() {
    let bed = Bed::new();
    for name in ["", "../mine", "a/b", ".hidden", "/etc/passwd", "a\0b", &"x".repeat(65)] {
        assert!(matches!(bed.open(name), Err(SelectionError::Name)), "{name:?}");
    }
}

#[test]
fn a_bad_file_with_nothing_before_it_is_refused_with_its_path() {
    let bed = Bed::new();
    bed.put("mine", b"this is text");
    let error = bed.open("mine").expect_err("it is refused").to_string();
    assert!(error.starts_with(bed.file("mine").to_str().expect("a path")), "{error}");
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
    for bytes in [&ONE, &OTHER] {
        bed.put("mine", bytes);
        drop(bed.open("mine").expect("it starts"));
    }
    let kept = |expected: &str| {
        let plugins = bed.open("mine").expect("it starts");
        let report = report(&plugins);
        assert_eq!((report.state, report.source), (State::StandingIn, Some(Source::Kept)));
        assert!(report.last_error.as_deref().is_some_and(|error| error.contains(expected)), "{report:?}");
        assert_eq!(in_force(&plugins), Some(digest(&OTHER)));
        plugins
    };
    bed.put("mine", b"this is text");
    let plugins = kept("is not a WebAssembly module");
    assert!(refused(&plugins).is_some());
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
