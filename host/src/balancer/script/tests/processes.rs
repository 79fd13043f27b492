//! Scripts that do not end when they should, and what they leave behind.

use super::*;

#[test]
fn a_script_that_sleeps_past_its_limit_is_killed_with_all_its_children() {
    let bench = Bench::new("echo n1:8787; sleep 1000 & echo $! > $0.child; echo $$ > $0.own; wait");
    let bench = bench.limit(Duration::from_millis(1_500));
    let since = Instant::now();
    assert_eq!(bench.failure(), "was killed after 1.5 s, and had printed `n1:8787`");
    assert!(since.elapsed() >= Duration::from_millis(1_500));
    assert!(!runs(&bench.path("rserver-balancer.own")), "it is reaped before the answer is given");
    eventually("its child is gone", || !runs(&bench.path("rserver-balancer.child")));
}

#[test]
fn a_script_that_has_closed_its_output_is_waited_for_until_its_limit() {
    let bench = Bench::new("exec >&- 2>&-; sleep 1000").limit(Duration::from_millis(500));
    assert_eq!(bench.failure(), "was killed after 0.5 s, and had printed nothing");
}

#[test]
fn a_background_child_that_holds_the_output_open_is_killed_and_not_waited_for() {
    // The limit is 20 s: the answer would fail if the child were waited for.
    let bench = Bench::new("sleep 1000 & echo $! > $0.child; echo n2:8787");
    assert_eq!(bench.node(), 1);
    eventually("its child is gone", || !runs(&bench.path("rserver-balancer.child")));
}

#[test]
fn a_child_that_has_left_the_process_group_is_not_waited_for_either() {
    let bench = Bench::new("setsid sleep 1000 & echo $! > $0.child; echo n2:8787");
    assert_eq!(bench.node(), 1);
    let child = fs::read_to_string(bench.path("rserver-balancer.child")).expect("it wrote its number");
    let child = Pid::from_raw(child.trim().parse().expect("a number"));
    let _ = kill(child, nix::sys::signal::Signal::SIGKILL);
}

#[test]
fn a_child_that_never_stops_writing_costs_no_answer() {
    let bench = Bench::new("yes >&2 & echo $! > $0.child; echo n3:8788");
    assert_eq!(bench.node(), 2);
    eventually("its child is gone", || !runs(&bench.path("rserver-balancer.child")));
}

#[test]
fn a_script_that_runs_when_the_daemon_stops_is_killed_and_none_is_started_after() {
    let bench = Bench::new("echo $$ > $0.own; sleep 1000");
    let script = Script::new("custom", bench.setup.clone());
    let own = bench.path("rserver-balancer.own");
    let refused = || script.rank(&question()).expect_err("killed").to_string();
    std::thread::scope(|scope| {
        let asked = scope.spawn(refused);
        eventually("it runs", || fs::read_to_string(&own).is_ok_and(|text| text.ends_with('\n')));
        script.stop();
        assert!(asked.join().expect("no panic").ends_with("was ended by SIGKILL, and printed nothing"));
    });
    assert!(!runs(&own));
    assert!(refused().ends_with("was ended by SIGKILL, and printed nothing"));
}

#[test]
fn one_script_runs_for_many_at_once() {
    // Each waits until all eight have begun.
    let bench = Bench::new("mkdir -p $0.d; : > $0.d/$$; until [ $(ls $0.d | wc -l) -ge 8 ]; do :; done; echo n1:8787");
    let script = Script::new("custom", bench.setup.clone());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| script.rank(&question()))).collect();
        for one in all {
            assert_eq!(one.join().expect("no panic").expect("an answer").order, [0]);
        }
    });
}

#[test]
fn a_script_that_cannot_even_be_looked_at_in_time_is_given_up_and_not_started_again_and_again() {
    let bench = Bench::new("echo n1:8787");
    // Opening a pipe waits for somebody who writes to it: so does a file on a server that does not answer.
    fs::remove_file(&bench.setup.program).expect("it is ours");
    nix::unistd::mkfifo(&bench.setup.program, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let bench = bench.limit(Duration::from_millis(1));
    let script = Script::new("custom", bench.setup.clone());
    let failure = |script: &Script| script.rank(&question()).expect_err("no answer").to_string();
    for _ in 0..64 {
        assert!(failure(&script).ends_with("could not be started within 0.001 s"));
    }
    assert!(failure(&script).ends_with("is not started again: 64 runs of it do not end"));
    // Now somebody comes to write, and all of them go on.
    drop(fs::File::options().write(true).open(&bench.setup.program).expect("they read"));
    eventually("they have ended", || !failure(&script).contains("is not started again"));
}
