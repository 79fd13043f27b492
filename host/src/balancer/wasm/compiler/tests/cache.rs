//! The code that is kept: when it is taken, and when it is not.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{few, generous, load, missing};
use crate::{
    balancer::{
        Balancer,
        wasm::{
            Cache, Engine, Origin, WasmBalancer,
            tests::{engine, guests::Guest, patient},
        },
    },
    domain::fakes::Numbers,
};

/// A daemon with a cache. Only its first module needs a compiler.
struct Daemon(tempfile::TempDir);

impl Daemon {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("compiled")
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.directory(), &Numbers::default()).expect("a cache")
    }

    /// As it starts: with a compiler that works only for what is the program's own.
    fn engine(&self) -> Engine {
        engine().with_compiler(missing().keeping(self.cache()))
    }

    /// Compiles a module in this process, and keeps it.
    fn compile(&self, bytes: &[u8]) {
        WasmBalancer::load_from(Origin::Ours, &self.engine(), "guest", bytes, BTreeMap::new(), patient())
            .expect("it loads");
    }

    /// Whether it has a module without that a compiler is needed.
    fn has(&self, bytes: &[u8]) -> bool {
        load(&self.engine(), bytes).is_ok_and(|balancer| balancer.rank(&few()).expect("an answer").order == [0])
    }

    fn entries(&self) -> Vec<PathBuf> {
        let files = self.directory().read_dir().expect("it is there");
        let paths = files.map(|file| file.expect("it is there").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "code")).collect()
    }

    fn entry(&self) -> PathBuf {
        let [entry] = &self.entries()[..] else { panic!("one entry, not {:?}", self.entries()) };
        entry.clone()
    }
}

fn one() -> Vec<u8> {
    Guest::default().bytes()
}

fn other() -> Vec<u8> {
    Guest { pages: 2, ..Guest::default() }.bytes()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_module_is_compiled_once_also_over_a_restart() {
    let dir = Daemon::new();
    let first = engine().with_compiler(super::compiler().keeping(dir.cache()));
    load(&first, &one()).expect("it loads");
    assert!(dir.has(&one()));
    assert!(!dir.has(&other()));
    assert_eq!(dir.directory().metadata().expect("it is there").permissions().mode() & 0o777, 0o700);
    assert_eq!(dir.entry().metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_engine_of_the_same_kind_takes_the_code_whatever_its_limits() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    let balancer = WasmBalancer::load(&daemon.engine(), "guest", &one(), BTreeMap::new(), generous());
    assert_eq!(balancer.expect("it loads").rank(&few()).expect("an answer").order, [0]);
    let on_demand = crate::balancer::wasm::engine::on_demand_for_tests();
    let other_kind = on_demand.with_compiler(missing().keeping(daemon.cache()));
    load(&other_kind, &one()).expect_err("it needs code of its own");
}

#[test]
fn damaged_code_is_made_again() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    let whole = fs::read(daemon.entry()).expect("it is there");
    for at in [0, 40, 80, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(daemon.entry(), &damaged).expect("written");
        assert!(!daemon.has(&one()), "byte {at} of {}", whole.len());
    }
    for length in [0, 10, 34, whole.len() - 1] {
        fs::write(daemon.entry(), &whole[..length]).expect("written");
        assert!(!daemon.has(&one()), "{length} of {} bytes", whole.len());
    }
    daemon.compile(&one());
    assert!(daemon.has(&one()));
}

#[test]
fn code_that_another_daemon_compiled_is_not_taken() {
    let (daemon, stranger) = (Daemon::new(), Daemon::new());
    fs::create_dir(stranger.directory()).expect("it is made");
    mode(&stranger.directory(), 0o700);
    fs::write(stranger.directory().join("key"), "another key, just as long").expect("written");
    mode(&stranger.directory().join("key"), 0o600);
    for daemon in [&daemon, &stranger] {
        daemon.compile(&one());
    }
    assert_eq!(daemon.entry().file_name(), stranger.entry().file_name());
    fs::copy(stranger.entry(), daemon.entry()).expect("copied");
    assert!(!daemon.has(&one()));
}

#[test]
fn the_code_of_one_module_is_not_taken_for_another() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    let first = daemon.entry();
    daemon.compile(&other());
    let second = daemon.entries().into_iter().find(|path| *path != first).expect("two");
    fs::rename(first, second).expect("renamed");
    assert!(!daemon.has(&other()));
}

#[test]
fn code_that_others_could_have_written_is_not_taken() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    mode(&daemon.entry(), 0o622);
    assert!(!daemon.has(&one()));
    mode(&daemon.entry(), 0o600);
    assert!(daemon.has(&one()));

    let aside = daemon.0.path().join("aside");
    fs::rename(daemon.entry(), &aside).expect("moved");
    std::os::unix::fs::symlink(&aside, daemon.directory().join(daemon_name(&daemon, &aside))).expect("linked");
    assert!(!daemon.has(&one()));
}

/// The name that the entry of [`one`] has.
fn daemon_name(daemon: &Daemon, aside: &Path) -> String {
    daemon.compile(&one());
    let entry = daemon.entry();
    assert_eq!(fs::read(&entry).expect("it is there"), fs::read(aside).expect("it is there"));
    fs::remove_file(&entry).expect("removed");
    entry.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

#[test]
fn a_directory_or_a_key_that_others_can_change_keeps_nothing() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    let engine = daemon.engine();
    mode(&daemon.directory(), 0o777);
    let error = Cache::open(&daemon.directory(), &Numbers::default()).expect_err("refused").to_string();
    assert!(error.starts_with("compiled balancers are not kept: ") && error.contains("chmod go-w"), "{error}");
    load(&engine, &one()).expect_err("the directory was opened to others meanwhile");
    mode(&daemon.directory(), 0o700);
    load(&engine, &one()).expect("it is closed again");
    mode(&daemon.directory().join("key"), 0o644);
    Cache::open(&daemon.directory(), &Numbers::default()).expect_err("refused");
}

#[test]
fn what_other_versions_and_dead_processes_left_is_removed() {
    let daemon = Daemon::new();
    let _ = daemon.cache();
    for name in ["0.0.1-0011223344556677-aa-bb.code", "0.0.1-00.0-0.new"] {
        fs::write(daemon.directory().join(name), "old").expect("written");
    }
    daemon.compile(&one());
    assert!(daemon.has(&one()));
    let files = daemon.directory().read_dir().expect("it is there").count();
    assert_eq!(files, 2, "the entry and the key");
}

#[test]
fn where_all_take_too_much_the_oldest_goes() {
    let daemon = Daemon::new();
    daemon.compile(&one());
    let first = daemon.entry();
    let size = first.metadata().expect("it is there").len();
    let file = fs::File::options().write(true).open(&first).expect("it opens");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("it is ours");
    let small = engine().with_compiler(missing().keeping(daemon.cache().of_size(size * 3 / 2)));
    WasmBalancer::load_from(Origin::Ours, &small, "guest", &other(), BTreeMap::new(), patient()).expect("it loads");
    assert!(daemon.has(&other()));
    assert!(!daemon.has(&one()));
}

#[test]
fn a_module_loads_where_nothing_can_be_written() {
    let daemon = Daemon::new();
    let engine = daemon.engine();
    fs::remove_dir_all(daemon.directory()).expect("removed");
    WasmBalancer::load_from(Origin::Ours, &engine, "guest", &one(), BTreeMap::new(), patient()).expect("it loads");
    assert!(!daemon.directory().exists());
}
