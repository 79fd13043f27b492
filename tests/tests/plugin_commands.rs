//! The commands for those who write balancers, without a daemon.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use evenkeel_tests::binaries;
use serde_json::Value;
use tempfile::TempDir;

use guests::{SECOND_FIRST, WRITES, ahead, at_most, guest, refusal};

#[path = "plugin_commands/guests.rs"]
mod guests;

/// Where an author works.
struct Desk {
    root: TempDir,
}

/// What a command printed.
struct Printed {
    succeeded: bool,
    out: String,
    error: String,
}

impl Printed {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{} {}", self.out, self.error))
    }

    /// It failed, with one line that has all of these.
    fn assert_failed(&self, words: &[&str]) {
        assert!(!self.succeeded, "{}", self.out);
        assert_eq!(self.error.trim_end().lines().count(), 1, "{}", self.error);
        for word in words {
            assert!(self.error.contains(word), "{word:?} in {:?}", self.error);
        }
    }

    /// It succeeded, and printed all of these.
    fn assert_printed(&self, words: &[&str]) {
        assert!(self.succeeded, "{}{}", self.out, self.error);
        for word in words {
            assert!(self.out.contains(word), "{word:?} in {}", self.out);
        }
    }
}

impl Desk {
    fn new() -> Result<Self> {
        let desk = Self { root: tempfile::Builder::new().prefix("evenkeel-").tempdir()? };
        fs::create_dir(desk.path("config"))?;
        Ok(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        fs::write(path, content)?;
        Ok(())
    }

    /// Runs `plugin …` where the author works, with the configuration there.
    fn plugin(&self, arguments: &[&str]) -> Result<Printed> {
        let [config, data] = ["config", "data"].map(|name| self.path(name).display().to_string());
        self.plain_plugin(&[arguments, &["--config-dir", &config, "--data-dir", &data]].concat())
    }

    /// Runs `plugin …` where the author works.
    fn plain_plugin(&self, arguments: &[&str]) -> Result<Printed> {
        let mut command = Command::new(binaries::find("evenkeel")?);
        let output = command.arg("plugin").args(arguments).current_dir(self.root.path()).output()?;
        Ok(Printed {
            succeeded: output.status.success(),
            out: String::from_utf8(output.stdout)?,
            error: String::from_utf8(output.stderr)?,
        })
    }
}

/// A file with one case over the nodes `a` and `b`, which have 3 sessions and 1.
fn one_case(balancer: &str, rest: &str) -> String {
    format!(
        "balancer = \"{balancer}\"\n[[case]]\nname = \"two nodes\"\nrequest = {{ username = \"ada\" }}\n{rest}\n\
         nodes = [{{ name = \"a\", sessions = 3 }}, {{ name = \"b\", sessions = 1 }}]\n"
    )
}

/// The cases of the builtin balancers.
fn builtin_cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cases")
}

#[test]
fn run_prints_a_decision_with_nodes_scores_reason_log_and_time() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("case.toml", one_case("sessions", "expect = { order = [\"b\", \"a\"], scores = [-3, -1] }"))?;
    let printed = desk.plugin(&["run", "sessions", "--case", "case.toml"])?;
    printed.assert_printed(&[
        "two nodes",
        "1  b     -1",
        "2  a     -3",
        "reason",
        "µs",
        "KiB of memory",
        "as expected",
    ]);

    desk.write("mine.wasm", guest("1.0.0", "hello, ada", &format!("{WRITES}{SECOND_FIRST}"))?)?;
    let report = desk.plugin(&["run", "mine.wasm", "--case", "case.toml", "--json"])?;
    report.assert_failed(&["mine", "1 of 1"]);
    let report = report.json()?;
    let case = &report["cases"][0];
    assert_eq!((&report["balancer"], &case["outcome"]), (&"mine".into(), &"ranked".into()));
    assert_eq!(case["candidates"][0]["node"], "b");
    assert_eq!(case["log"][0]["message"], "hello, ada");
    assert!(case["difference"].as_str().is_some_and(|text| text.contains("scores")), "{case}");
    assert!(case["duration_us"].is_u64() && case["memory"].is_u64(), "{case}");
    Ok(())
}

#[test]
fn run_tells_a_decision_that_is_declined_from_one_that_fails_and_shows_the_log_of_both() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("case.toml", one_case("mine", ""))?;
    desk.write("declines.wasm", guest("1.0.0", "not today!", &format!("{WRITES}{}", refusal(0)))?)?;
    let declined = desk.plugin(&["run", "declines.wasm", "--case", "case.toml"])?;
    declined.assert_printed(&["declined  not today!", "log       info   not today!"]);

    desk.write("traps.wasm", guest("1.0.0", "so far, ok", &format!("{WRITES}(call $misstep)"))?)?;
    let failed = desk.plugin(&["run", "traps.wasm", "--case", "case.toml"])?;
    failed.assert_failed(&["traps", "1 of 1"]);
    for told in ["failed    it stopped itself (in misstep, called by choose", "log       info   so far, ok"] {
        assert!(failed.out.contains(told), "{told:?} in {}", failed.out);
    }
    Ok(())
}

#[test]
fn run_asks_with_the_settings_of_the_case_else_with_those_of_the_configuration() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("config/load-balancer", "[balancer user-hash]\nscheme=modulo\n")?;
    desk.write("plain.toml", one_case("user-hash", ""))?;
    desk.write("own.toml", one_case("user-hash", "settings = { scheme = \"rendezvous\" }"))?;
    let reason = |file: &str| -> Result<String> {
        let report = desk.plugin(&["run", "user-hash", "--case", file, "--json"])?.json()?;
        Ok(report["cases"][0]["reason"].as_str().context("a reason")?.to_owned())
    };
    assert_ne!(reason("plain.toml")?, reason("own.toml")?);
    Ok(())
}

#[test]
fn run_asks_one_case_by_its_name_and_lists_those_there_are_where_it_is_none() -> Result<()> {
    let desk = Desk::new()?;
    let cases = builtin_cases().join("sessions.toml");
    let cases = cases.to_str().context("a path")?;
    let one = desk.plugin(&["run", "sessions", "--case", cases, "--name", "the only node is the answer", "--json"])?;
    assert_eq!(one.json()?["cases"].as_array().map(Vec::len), Some(1));
    let none = desk.plugin(&["run", "sessions", "--case", cases, "--name", "nobody's"])?;
    none.assert_failed(&["sessions.toml", "nobody's", "the only node is the answer"]);
    Ok(())
}

#[test]
fn commands_that_cannot_begin_say_why_in_one_line() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("text.wasm", "this is text")?;
    desk.write("case.toml", one_case("mine", ""))?;
    desk.write(
        "odd.toml",
        "balancer = \"sessions\"\n[[case]]\nname = \"x\"\nnodes = [{ name = \"a\", colour = 3 }]\n",
    )?;
    desk.plugin(&["run", "text.wasm", "--case", "case.toml"])?.assert_failed(&["not a WebAssembly module"]);
    desk.plugin(&["run", "none.wasm", "--case", "case.toml"])?.assert_failed(&["none.wasm"]);
    desk.plugin(&["run", "sessions", "--case", "none.toml"])?.assert_failed(&["none.toml"]);
    desk.plugin(&["run", "sessions", "--case", "odd.toml"])?.assert_failed(&["odd.toml", "line 4", "colour"]);
    Ok(())
}

#[test]
fn test_asks_every_case_of_a_directory_without_a_daemon() -> Result<()> {
    let desk = Desk::new()?;
    let cases = builtin_cases();
    let cases = cases.to_str().context("a path")?;
    desk.plugin(&["test", cases])?.assert_printed(&["sessions.toml: sessions", "ok      the only node is the answer"]);
    let report = desk.plugin(&["test", cases, "--json"])?.json()?;
    assert_eq!((report["files"].as_array().map(Vec::len), &report["failed"]), (Some(3), &0.into()));
    Ok(())
}

#[test]
fn test_asks_the_module_beside_the_cases_and_fails_where_an_answer_is_another() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("cases/mine.wasm", guest("1.0.0", "", SECOND_FIRST)?)?;
    desk.write("cases/mine.toml", one_case("mine", "expect = { order = [\"b\", \"a\"] }"))?;
    desk.plugin(&["test", "cases"])?.assert_printed(&["ok      two nodes", "1 of 1 cases answered as expected"]);

    // The same answer by index is another node where the order of the nodes is another.
    desk.write("cases/mine.toml", one_case("mine", "any-order = true\nexpect = { order = [\"b\", \"a\"] }"))?;
    let failed = desk.plugin(&["test", "cases"])?;
    failed.assert_failed(&["1 of 1 cases failed"]);
    assert!(failed.out.contains("FAILED  two nodes: with the nodes in the order b, a"), "{}", failed.out);

    // Another module is asked where it is named.
    desk.plugin(&["test", "cases", "--module", "sessions"])?.assert_printed(&["1 of 1 cases answered as expected"]);
    Ok(())
}

#[test]
fn test_fails_where_there_is_nothing_to_test() -> Result<()> {
    let desk = Desk::new()?;
    fs::create_dir(desk.path("cases"))?;
    desk.plugin(&["test", "cases"])?.assert_failed(&["cases", "no file of cases"]);
    desk.write("cases/Cargo.toml", "[package]\nname = \"mine\"\n")?;
    desk.plugin(&["test", "cases"])?.assert_failed(&["cases", "no file of cases"]);
    desk.write("cases/mine.toml", "balancer = \"sessions\"\ncase = []\n")?;
    desk.plugin(&["test", "cases"])?.assert_failed(&["there is no case in cases"]);
    desk.write("cases/mine.toml", one_case("mine", "expect = { order = [\"b\"] }"))?;
    desk.plugin(&["test", "cases"])?.assert_failed(&["mine.toml", "mine.wasm", "--module"]);
    desk.write("cases/mine.toml", one_case("sessions", ""))?;
    let unsure = desk.plugin(&["test", "cases"])?;
    unsure.assert_failed(&["1 of 1 cases failed"]);
    assert!(unsure.out.contains("it expects nothing"), "{}", unsure.out);
    Ok(())
}

#[test]
fn check_tells_the_contract_a_module_was_made_for_and_what_it_imports() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("mine.wasm", guest("1.4.2", "hello, ada", &format!("{WRITES}{SECOND_FIRST}"))?)?;
    let printed = desk.plugin(&["check", "mine.wasm"])?;
    printed.assert_printed(&["for the contract 1.4.2", "imports   evenkeel:balancer/log@1.4.2: info"]);
    let report = desk.plugin(&["check", "mine.wasm", "--json"])?.json()?;
    assert_eq!(report["contract"], "1.4.2");
    assert_eq!(report["imports"][0]["functions"][0], "info", "{report}");
    Ok(())
}

#[test]
fn check_prints_the_settings_of_a_builtin_balancer_with_their_defaults() -> Result<()> {
    let desk = Desk::new()?;
    desk.plugin(&["check", "system-load"])?.assert_printed(&[
        "setting   expected-load = 1 (its default): The processors",
        "balancer = system-load in the file load-balancer selects it",
    ]);
    desk.write("config/load-balancer", "balancer=user-hash\n[balancer user-hash]\nscheme=modulo\n")?;
    let printed = desk.plugin(&["check", "user-hash"])?;
    printed.assert_printed(&["setting   scheme = modulo (default rendezvous): ", "It would be taken."]);
    desk.plugin(&["check", "round-robin"])?.assert_failed(&["round-robin"]);
    // A file of that name is looked at instead.
    desk.write("user-hash", "this is text")?;
    desk.plugin(&["check", "user-hash"])?.assert_failed(&["user-hash is refused", "not a WebAssembly module"]);
    Ok(())
}

#[test]
fn check_refuses_a_name_that_could_not_be_selected() -> Result<()> {
    let desk = Desk::new()?;
    let good = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/sessions.wasm"))?;
    for name in ["my plugin.wasm", "größe.wasm", ".hidden.wasm"] {
        desk.write(name, &good)?;
        desk.plugin(&["check", name])?.assert_failed(&[name, "could not be selected", "a balancer's name has letters"]);
    }
    Ok(())
}

#[test]
fn check_names_the_import_that_a_module_for_a_later_minor_version_wants() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("ahead.wasm", ahead()?)?;
    desk.plugin(&["check", "ahead.wasm"])?.assert_failed(&["ahead.wasm", "nodes@1.9.0", "moon-phases"]);
    Ok(())
}

#[test]
fn check_reports_the_trials_and_warns_of_larger_clusters_and_of_a_builtin_name() -> Result<()> {
    let desk = Desk::new()?;
    // The name of a builtin balancer, and nothing for a cluster of a thousand.
    desk.write("sessions.wasm", at_most(999)?)?;
    let printed = desk.plugin(&["check", "sessions.wasm"])?;
    printed.assert_printed(&["trial     3 nodes: ", "trial     6 nodes: ", "larger    100 nodes: "]);
    printed.assert_printed(&[
        "warning   it takes the place of the builtin balancer sessions",
        "warning   1000 nodes would be too many: it stopped itself (in choose)",
        "warning   10000 nodes would be too many: it stopped itself",
        "It would be taken.",
    ]);
    let report = desk.plugin(&["check", "sessions.wasm", "--json"])?.json()?;
    let trials = report["trials"].as_array().context("a list")?;
    let told: Vec<_> = trials.iter().map(|trial| (trial["nodes"].as_u64(), trial["passed"].as_bool())).collect();
    let expected = [(3, true), (6, true), (100, true), (1_000, false), (10_000, false)];
    assert_eq!(told, expected.map(|(nodes, passed)| (Some(nodes), Some(passed))));
    assert!(trials[0]["duration_us"].is_u64() && trials[3]["failure"] == "it stopped itself (in choose)", "{report}");
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(3), "{report}");

    desk.write("declining.wasm", guest("1.0.0", "not today.", &refusal(0))?)?;
    let printed = desk.plugin(&["check", "declining.wasm"])?;
    printed.assert_printed(&["trial     3 nodes: declined: not today.", "larger    10000 nodes: declined"]);
    assert!(!printed.out.contains("warning"), "{}", printed.out);
    let report = desk.plugin(&["check", "declining.wasm", "--json"])?.json()?;
    assert_eq!((&report["trials"][0]["declined"], &report["warnings"]), (&"not today.".into(), &Value::Array(vec![])));

    desk.write("small.wasm", at_most(5)?)?;
    desk.plugin(&["check", "small.wasm"])?.assert_failed(&["small.wasm", "its trial decision over 6 nodes failed"]);
    Ok(())
}

#[test]
fn check_names_the_functions_in_which_a_module_traps() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("traps.wasm", guest("1.0.0", "", "(call $misstep)")?)?;
    desk.plugin(&["check", "traps.wasm"])?.assert_failed(&["it stopped itself (in misstep, called by choose"]);
    Ok(())
}

#[test]
fn bench_measures_decisions_over_each_size_under_the_configured_limits() -> Result<()> {
    let desk = Desk::new()?;
    // A busy machine must not cost a decision its deadline.
    desk.write("config/load-balancer", "balancer-timeout-ms=10000\n[balancer sessions]\nbalancer-memory-mb=8\n")?;
    let bench = ["bench", "sessions", "--nodes", "3,50", "--decisions", "20"];
    let report = desk.plugin(&[&bench[..], &["--json"]].concat())?.json()?;
    assert_eq!((&report["deadline_ms"], &report["memory_limit"]), (&10_000.into(), &(8 << 20).into()));
    let sizes = report["sizes"].as_array().context("sizes")?;
    assert_eq!(sizes.iter().map(|size| size["nodes"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(50)]);
    for size in sizes {
        let of = |name: &str| size[name].as_u64().unwrap_or_default();
        assert_eq!((of("decisions"), of("failed"), of("declined")), (20, 0, 0), "{size}");
        assert!(0 < of("p50_us") && of("p50_us") <= of("p99_us") && of("p99_us") <= of("max_us"), "{size}");
        assert!((1..8 << 20).contains(&of("memory")), "{size}");
    }
    let printed = desk.plugin(&bench)?;
    printed.assert_printed(&["sessions, within 10000 ms and 8 MiB", "Nodes  Decisions  p50 µs"]);
    assert_eq!(printed.out.lines().count(), 4, "{}", printed.out);
    Ok(())
}

#[test]
fn bench_tells_decisions_that_fail_from_those_that_are_declined() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("config/load-balancer", "balancer-timeout-ms=10000\n[balancer loops]\nbalancer-timeout-ms=5\n")?;
    desk.write("declines.wasm", guest("1.0.0", "not today!", &refusal(0))?)?;
    let declined = desk.plugin(&["bench", "declines.wasm", "--nodes", "2", "--decisions", "7", "--json"])?;
    assert!(declined.succeeded, "{}", declined.error);
    assert_eq!(declined.json()?["sizes"][0]["declined"], 7);

    desk.write("traps.wasm", guest("1.0.0", "", "(call $misstep)")?)?;
    let failed = desk.plugin(&["bench", "traps.wasm", "--nodes", "2", "--decisions", "7"])?;
    failed.assert_failed(&["traps: 7 of 7 decisions over 2 nodes failed: it stopped itself (in misstep"]);
    assert!(failed.out.contains("Nodes  Decisions"), "what was measured is shown all the same: {}", failed.out);

    // The host's deadline holds here as it does in a daemon.
    desk.write("loops.wasm", guest("1.0.0", "", "(loop $on (br $on))")?)?;
    let stopped = desk.plugin(&["bench", "loops.wasm", "--nodes", "2", "--decisions", "2"])?;
    stopped.assert_failed(&["loops: 2 of 2 decisions", "it had not answered after 5 ms"]);
    Ok(())
}

#[test]
fn new_makes_a_crate_once_and_under_a_name_that_a_crate_can_have() -> Result<()> {
    let desk = Desk::new()?;
    let made = desk.plain_plugin(&["new", "my-balancer", "--json"])?.json()?;
    assert_eq!((&made["name"], &made["directory"]), (&"my-balancer".into(), &"my-balancer".into()));
    let files: Vec<_> = made["files"].as_array().context("files")?.iter().filter_map(Value::as_str).collect();
    for file in ["Cargo.toml", "README.md", "cases.toml", "src/lib.rs", "evenkeel-sdk/src/lib.rs"] {
        assert!(files.contains(&file) && desk.path("my-balancer").join(file).is_file(), "{file} in {files:?}");
    }
    desk.plain_plugin(&["new", "my-balancer"])?.assert_failed(&["my-balancer exists already"]);
    desk.plain_plugin(&["new", "other", "my-balancer"])?.assert_failed(&["my-balancer exists already"]);
    desk.plain_plugin(&["new", "other", "some/place"])?.assert_printed(&["Made some/place"]);
    assert!(fs::read_to_string(desk.path("some/place/Cargo.toml"))?.contains("name = \"other\""));
    for name in ["Gpu", "../up", "sessions", "std"] {
        desk.plain_plugin(&["new", name])?.assert_failed(&[name]);
    }
    assert!(!desk.path("std").exists() && !desk.path("sessions").exists());
    Ok(())
}

#[test]
fn wit_prints_the_contract() -> Result<()> {
    let desk = Desk::new()?;
    let contract = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/1.0.0/balancer.wit"))?;
    assert_eq!(desk.plain_plugin(&["wit"])?.out, contract);
    assert_eq!(desk.plain_plugin(&["wit", "--json"])?.json()?["wit"], contract);
    Ok(())
}
