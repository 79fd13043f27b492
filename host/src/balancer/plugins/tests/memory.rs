//! What a thousand reloads leave behind.

use super::*;

/// Reloads before anything is measured: what is made once is there then, and the allocator has what it keeps.
const FIRST: u32 = 100;
const RELOADS: u32 = 1_000;

/// What a reload may leave behind, bytes: a fraction of the file, to say nothing of what it becomes in memory.
const LEFT: u64 = BALLAST as u64 / 4;
/// What makes a file large, bytes.
const BALLAST: usize = 8 << 10;

/// A module like any other, whose file differs by a section that means nothing.
fn variant(number: u32) -> Vec<u8> {
    let content = [&number.to_le_bytes()[..], &[0x5a; BALLAST]].concat();
    evenkeel_fixtures::with_custom(&ONE, "ballast", &content)
}

/// Memory that is this process's own, bytes.
fn own() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("it is there");
    let size = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("it says so");
    size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_thousand_reloads_leave_the_memory_where_it_was() {
    let inner = "balancer::plugins::tests::memory::a_thousand_reloads";
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env("EVENKEEL_TEST_ALONE", "1")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by the test above, in a process of its own: its memory is that of the whole process"]
fn a_thousand_reloads() {
    if std::env::var_os("EVENKEEL_TEST_ALONE").is_none() {
        return;
    }
    let bed = Bed::new();
    bed.put("mine", &variant(0));
    let selection = Selection { settle: Duration::ZERO, ..bed.selection("mine") };
    let other = builtin::stand_in("sessions", BTreeMap::new(), &ENGINE).expect("it loads");
    let plugins = Plugins::open(selection, Some(other), Arc::new(Seconds::default())).expect("it starts");
    let reload = |number| {
        let bytes = variant(number);
        bed.put("mine", &bytes);
        assert!(look(&plugins));
        assert_eq!(in_force(&plugins), Some(digest(&bytes)));
        assert!(plugins.policy().rank(&trial::made_up(3)).is_ok_and(|decided| decided.fallback.is_none()));
    };
    (1..=FIRST).for_each(reload);
    let before = own();
    (FIRST + 1..=FIRST + RELOADS).for_each(reload);
    let after = own();
    assert!(after < before + u64::from(RELOADS) * LEFT, "{before} bytes before, {after} bytes after");
}
