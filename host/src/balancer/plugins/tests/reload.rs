//! A running daemon, and a file that comes, changes and goes.

use std::{collections::BTreeSet, sync::Mutex};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::balancer::wasm::tests::guests::answer;

#[test]
fn a_changed_file_decides_in_one_step_and_its_digest_is_told() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    let told = plugins.digest();
    assert_eq!(*told.borrow(), Some(digest(&ONE)));
    assert!(!look(&plugins), "nothing has changed");
    bed.put("mine", &OTHER);
    assert!(look(&plugins));
    assert_eq!((in_force(&plugins), told.borrow().clone()), (Some(digest(&OTHER)), Some(digest(&OTHER))));
    let decided = plugins.policy().rank(&trial::made_up(2)).expect("an answer");
    assert_eq!((decided.balancer.digest(), decided.fallback), (Some(digest(&OTHER).as_str()), None));
    let report = report(&plugins);
    assert_eq!((report.state, report.source, report.path), (State::Active, Some(Source::File), Some(bed.file("mine"))));
    assert_eq!((report.count.decisions, report.last_error), (1, None));
}

#[test]
fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    for part in [0, 1, OTHER.len() / 2, OTHER.len() - 1] {
        bed.put("mine", &OTHER[..part]);
        assert!(look(&plugins));
        assert_eq!(in_force(&plugins), Some(digest(&ONE)), "{part} bytes");
        assert_eq!(refused(&plugins).expect("it is refused").path, Some(bed.file("mine")));
    }
    bed.put("mine", &OTHER);
    assert!(look(&plugins));
    assert_eq!(in_force(&plugins), Some(digest(&OTHER)));
    assert_eq!(refused(&plugins), None);
}

#[test]
fn a_bad_file_is_reported_once_with_its_reason() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    let (_, lines) = logged(|| {
        for _ in 0..3 {
            bed.put("mine", b"this is text");
            assert!(look(&plugins));
            assert!(!look(&plugins));
        }
    });
    let reports: Vec<_> = lines.iter().filter(|line| line.contains("is not a WebAssembly module")).collect();
    assert_eq!(reports.len(), 1, "{lines:#?}");
    assert!(reports[0].contains(bed.file("mine").to_str().expect("a path")), "{reports:?}");
    assert_eq!((in_force(&plugins), report(&plugins).state), (Some(digest(&ONE)), State::Active));
    let refused = refused(&plugins).expect("it is shown");
    assert_eq!(refused.digest, Some(digest(b"this is text")));
    // And what was good is good again without another load.
    let since = report(&plugins).since;
    bed.put("mine", &ONE);
    assert!(look(&plugins));
    let after = report(&plugins);
    assert_eq!((after.since, after.last_error), (since, None));
    assert_eq!(super::refused(&plugins), None);
}

#[test]
fn what_fails_its_trial_is_refused_and_what_declines_is_not() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    bed.put("mine", &Guest::ranking("unreachable").bytes());
    assert!(look(&plugins));
    let why = refused(&plugins).and_then(|report| report.last_error).expect("it is refused");
    assert!(why.starts_with("its trial decision over 3 nodes failed: it stopped itself"), "{why}");
    let declining = Guest::ranking(crate::balancer::wasm::tests::guests::refusal(0, 256, 2)).with_data(256, "no");
    bed.put("mine", &declining.bytes());
    assert!(look(&plugins));
    assert_eq!(in_force(&plugins), Some(digest(&declining.bytes())));
}

/// A module that has no answer where there are more nodes than this.
fn at_most(nodes: u32) -> Vec<u8> {
    let rank = format!("(if (i32.gt_u (call $count) (i32.const {nodes})) (then unreachable)) {}", answer(&[0]));
    Guest::ranking(rank).importing("nodes", "count", "(result i32)").bytes()
}

#[test]
fn a_module_is_tried_on_the_present_cluster_and_on_one_twice_its_size() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    let take = |bytes: &[u8]| {
        bed.put("mine", bytes);
        let change = plugins.change(Instant::now()).expect("it has changed");
        plugins.take_up(change, Some(trial::made_up(5)));
        refused(&plugins).and_then(|report| report.last_error)
    };
    // Chooses the sixth node: right for a cluster of 6, wrong for one of 5.
    let why = take(&Guest::ranking(answer(&[5])).bytes()).expect("it is refused");
    assert!(why.starts_with("its trial decision over 5 nodes failed"), "{why}");
    let why = take(&at_most(9)).expect("it is refused");
    assert_eq!(why, "its trial decision over 10 nodes failed: it stopped itself (in rank)");
    assert_eq!(in_force(&plugins), Some(digest(&ONE)));
    assert_eq!(take(&at_most(10)), None);
    assert_eq!(in_force(&plugins), Some(digest(&at_most(10))));
}

#[test]
fn what_would_fail_over_a_larger_cluster_decides_and_is_warned_of_once() {
    let bed = Bed::new();
    bed.put("mine", &at_most(500));
    let plugins = bed.open("mine").expect("it starts");
    let (_, lines) = logged(|| {
        plugins.look_ahead();
        plugins.look_ahead();
    });
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("would fail over a larger cluster")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("nodes=1000"), "{lines:#?}");
    let report = |plugins: &Plugins| (report(plugins).state, report(plugins).warnings, report(plugins).last_error);
    let warning = "it would fail over 1000 nodes: it stopped itself (in rank)".to_owned();
    assert_eq!(report(&plugins), (State::Active, vec![warning], None));
    // What takes its place has to be tried anew.
    bed.put("mine", &ONE);
    assert!(look(&plugins));
    plugins.look_ahead();
    assert_eq!(report(&plugins), (State::Active, Vec::new(), None));
}

#[test]
fn the_nodes_of_a_cluster_twice_the_size_are_all_different() {
    let [present, twice] = trial::questions(Some(trial::made_up(5)));
    assert_eq!((present.nodes.count(), twice.nodes.count(), twice.user_sessions.len()), (5, 10, 10));
    let names: BTreeSet<_> = twice.nodes.names.iter().collect();
    assert_eq!(names.len(), 10, "no two nodes have the same name");
}

#[test]
fn a_removed_file_gives_way_to_the_builtin_of_its_name() {
    let bed = Bed::new();
    bed.put("sessions", &ONE);
    let plugins = bed.open("sessions").expect("it starts");
    fs::remove_file(bed.file("sessions")).expect("it is removed");
    assert!(look(&plugins));
    let report = report(&plugins);
    assert_eq!((report.state, report.source, report.path), (State::Active, Some(Source::Builtin), None));
    assert_eq!(in_force(&plugins), builtin::module("sessions").map(digest));
    bed.put("sessions", &OTHER);
    let (_, lines) = logged(|| look(&plugins));
    assert_eq!(in_force(&plugins), Some(digest(&OTHER)));
    assert!(lines.iter().any(|line| line.contains("takes the place of the builtin balancer")), "{lines:#?}");
}

#[test]
fn where_no_builtin_has_the_name_of_a_removed_file_another_stands_in_and_says_why() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    fs::remove_file(bed.file("mine")).expect("it is removed");
    assert!(look(&plugins));
    let decided = plugins.policy().rank(&trial::made_up(2)).expect("an answer");
    assert_eq!(decided.balancer.name(), "sessions");
    let why = format!("there is no {}", bed.file("mine").display());
    assert_eq!(decided.fallback.map(|(why, _)| why), Some(format!("balancer mine failed: {why}")));
    let reports = plugins.reports();
    assert_eq!((reports[0].state, reports[0].last_error.as_ref()), (State::Missing, Some(&why)));
    assert_eq!((reports[1].state, reports[1].count.decisions), (State::StandingIn, 1));
    bed.put("mine", &ONE);
    assert!(look(&plugins));
    assert_eq!(report(&plugins).state, State::Active);
    assert_eq!(*plugins.digest().borrow(), Some(digest(&ONE)));
}

#[test]
fn a_directory_that_is_away_or_another_is_no_removal() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    let away = bed.root.path().join("away");
    let stays = |why: &str| {
        assert!(look(&plugins));
        let report = report(&plugins);
        assert_eq!((in_force(&plugins), report.state), (Some(digest(&ONE)), State::Active));
        assert!(report.last_error.as_deref().is_some_and(|error| error.contains(why)), "{report:?}");
    };
    fs::rename(bed.directory(), &away).expect("it is moved");
    stays("there is no such directory");
    // As a mount point looks when nothing is mounted.
    bed.make_directory();
    stays("is its file system mounted?");
    fs::remove_dir(bed.directory()).expect("it is removed");
    fs::write(bed.directory(), "").expect("it is written");
    stays("Not a directory");
    fs::remove_file(bed.directory()).expect("it is removed");
    fs::rename(&away, bed.directory()).expect("it is back");
    assert!(look(&plugins));
    assert_eq!(report(&plugins).last_error, None);
}

#[test]
fn what_is_no_file_or_too_large_is_refused() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    let refusal = || {
        assert!(look(&plugins));
        assert_eq!(in_force(&plugins), Some(digest(&ONE)));
        refused(&plugins).and_then(|report| report.last_error).expect("it is refused")
    };
    fs::remove_file(bed.file("mine")).expect("it is removed");
    // Nobody ever writes to it: whoever waits for that waits for ever.
    nix::unistd::mkfifo(&bed.file("mine"), nix::sys::stat::Mode::S_IRWXU).expect("it is made");
    assert!(refusal().ends_with("it is not a regular file"));
    fs::remove_file(bed.file("mine")).expect("it is removed");
    bed.put("mine", b"");
    let file = fs::File::options().write(true).open(bed.file("mine")).expect("it opens");
    file.set_len((64 << 20) + 1).expect("it grows");
    assert!(refusal().ends_with("it has 67108865 bytes, and may have 67108864"));
}

#[test]
fn what_others_can_change_is_refused_with_its_path_unless_anybody_is_trusted() {
    for trusts in [false, true] {
        let bed = Bed::new();
        bed.put("mine", &ONE);
        let mut selection = bed.selection("mine");
        if trusts {
            selection.terms.trust = Trust::Anybody;
        }
        let plugins = Plugins::open(selection, None, Arc::new(Seconds::default())).expect("it starts");
        bed.put("mine", &OTHER);
        fs::set_permissions(bed.directory(), Permissions::from_mode(0o777)).expect("it is everybody's");
        assert!(look(&plugins));
        let expected = if trusts { &OTHER } else { &ONE };
        assert_eq!(in_force(&plugins), Some(digest(expected)));
        let why = refused(&plugins).and_then(|report| report.last_error).unwrap_or_default();
        let told = format!("{} can be written to by its group or by others", bed.directory().display());
        assert_eq!(why.starts_with(&told), !trusts, "{why}");
    }
}

#[test]
fn a_file_is_taken_as_soon_as_what_is_in_its_way_is_gone_though_it_is_the_same() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    bed.put("mine", &OTHER);
    fs::set_permissions(bed.directory(), Permissions::from_mode(0o777)).expect("it is everybody's");
    let (_, lines) = logged(|| {
        assert!(look(&plugins));
        assert!(!look(&plugins), "nothing has changed");
        // As the message says.
        fs::set_permissions(bed.directory(), Permissions::from_mode(0o755)).expect("it is the owner's");
        assert!(look(&plugins));
    });
    assert_eq!((in_force(&plugins), refused(&plugins)), (Some(digest(&OTHER)), None));
    assert_eq!(lines.iter().filter(|line| line.contains("the plugin is not taken")).count(), 1, "{lines:#?}");
}

#[test]
fn a_file_that_was_in_the_way_of_its_own_trial_is_tried_again_later() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = bed.open("mine").expect("it starts");
    // What is too much for the cluster that it is tried on, as a machine under load is for its deadline.
    let module = at_most(8);
    bed.put("mine", &module);
    let now = Instant::now();
    let (_, lines) = logged(|| {
        plugins.take_up(plugins.change(now).expect("it has changed"), Some(trial::made_up(5)));
        assert!(refused(&plugins).is_some());
        assert!(!look_at(&plugins, now), "it is left alone for a while");
        let later = now + Duration::from_secs(60);
        let again = plugins.change(later).expect("it is tried again");
        plugins.take_up(again, Some(trial::made_up(5)));
        assert!(!look_at(&plugins, Instant::now() + Duration::from_secs(15)), "and then for longer");
        assert!(look_at(&plugins, later));
    });
    assert_eq!((in_force(&plugins), refused(&plugins)), (Some(digest(&module)), None));
    assert_eq!(lines.iter().filter(|line| line.contains("the plugin is not taken")).count(), 1, "{lines:#?}");
}

#[test]
fn what_is_refused_at_the_start_is_tried_again_too() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    fs::set_permissions(bed.directory(), Permissions::from_mode(0o777)).expect("it is everybody's");
    let plugins = bed.open("mine").expect("it starts");
    assert_eq!(report(&plugins).state, State::Missing);
    assert!(!look(&plugins), "nothing has changed");
    fs::set_permissions(bed.directory(), Permissions::from_mode(0o755)).expect("it is the owner's");
    assert!(look(&plugins));
    assert_eq!(in_force(&plugins), Some(digest(&ONE)));
}

#[tokio::test]
async fn a_daemon_notices_by_itself() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = Arc::new(bed.open("mine").expect("it starts"));
    let mut told = plugins.digest();
    let stop = CancellationToken::new();
    let run = tokio::spawn(Arc::clone(&plugins).run(Box::new(|| Box::pin(async { None })), stop.clone()));
    for bytes in [&OTHER, &ONE] {
        bed.put("mine", bytes);
        let changed = timeout(Duration::from_secs(60), told.changed()).await;
        changed.expect("it is noticed").expect("somebody tells");
        assert_eq!(*told.borrow_and_update(), Some(digest(bytes)));
    }
    let warned = async {
        while report(&plugins).warnings.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    bed.put("mine", &at_most(99));
    timeout(Duration::from_secs(60), warned).await.expect("it looks ahead");
    stop.cancel();
    timeout(Duration::from_secs(60), run).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn what_sends_no_event_is_noticed_by_looking() {
    let bed = Bed::new();
    // What becomes of a link's target is told to nobody who watches the link's directory.
    let target = bed.root.path().join("elsewhere.wasm");
    fs::write(&target, &*ONE).expect("written");
    std::os::unix::fs::symlink(&target, bed.file("mine")).expect("it is linked");
    let plugins = Arc::new(bed.open("mine").expect("it starts"));
    assert_eq!(in_force(&plugins), Some(digest(&ONE)));
    let mut told = plugins.digest();
    let stop = CancellationToken::new();
    let run = tokio::spawn(Arc::clone(&plugins).run(Box::new(|| Box::pin(async { None })), stop.clone()));
    fs::write(&target, &*OTHER).expect("written");
    timeout(Duration::from_secs(60), told.changed()).await.expect("it is noticed").expect("somebody tells");
    assert_eq!(*told.borrow_and_update(), Some(digest(&OTHER)));
    stop.cancel();
    timeout(Duration::from_secs(60), run).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn a_module_is_kept_while_its_decisions_are_on_record_and_no_longer() {
    let bed = Bed::new();
    bed.put("mine", &ONE);
    let plugins = Arc::new(bed.open("mine").expect("it starts"));
    bed.put("mine", &OTHER);
    assert!(look(&plugins));
    let kept = |bytes: &[u8]| plugins.kept.path(&digest(bytes)).is_file();
    let recorded = Arc::new(Mutex::new(Some(BTreeSet::from([digest(&ONE)]))));
    let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
    let on_record: OnRecord = {
        let recorded = Arc::clone(&recorded);
        Box::new(move || {
            asked.send(()).expect("the test listens");
            let recorded = recorded.lock().expect("unpoisoned").clone();
            Box::pin(async move { recorded })
        })
    };
    let stop = CancellationToken::new();
    let tidy = tokio::spawn(Arc::clone(&plugins).tidy(on_record, Duration::from_millis(1), stop.clone()));
    let mut look_some_times = async || {
        for _ in 0..5 {
            timeout(Duration::from_secs(60), was_asked.recv()).await.expect("it looks").expect("it goes on");
        }
    };
    look_some_times().await;
    assert!(kept(&ONE) && kept(&OTHER));
    // Where nobody can tell, nothing goes.
    *recorded.lock().expect("unpoisoned") = None;
    look_some_times().await;
    assert!(kept(&ONE) && kept(&OTHER));
    *recorded.lock().expect("unpoisoned") = Some(BTreeSet::new());
    look_some_times().await;
    assert_eq!((kept(&ONE), kept(&OTHER)), (false, true), "the last good one is needed");
    assert!(kept(builtin::module("sessions").expect("a builtin")), "it may have to stand in");
    stop.cancel();
    timeout(Duration::from_secs(60), tidy).await.expect("it stops").expect("no panic");
}
