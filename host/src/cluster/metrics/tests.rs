//! Files are written, grow old, and are not what they should be.

use std::fs::{self, File};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::domain::fakes::SetClock;

const MAX_AGE: Duration = Duration::from_secs(300);

struct Bed {
    directory: TempDir,
    clock: Arc<SetClock>,
    source: MetricsSource,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let clock = Arc::new(SetClock::at(Timestamp::from_second(1_700_000_000).unwrap()));
        let source = MetricsSource::new(directory.path(), MAX_AGE, clock.clone());
        Self { directory, clock, source }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as of now by the bed's clock.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(self.clock.now().into()).unwrap();
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    async fn numbers(&mut self) -> Vec<(String, f64)> {
        self.source.read().await.numbers.into_iter().collect()
    }

    async fn problem(&mut self, name: &str) -> Option<String> {
        let path = self.path(name);
        self.source.read().await.problems.remove(&path)
    }
}

fn one(key: &str, value: f64) -> Vec<(String, f64)> {
    vec![(key.to_owned(), value)]
}

#[tokio::test]
async fn numbers_of_all_files_are_published_and_of_no_others() {
    let mut bed = Bed::new();
    bed.write("gpu.prom", "# TYPE free gauge\nfree{kind=\"b\"} 2\n");
    bed.write("licences.prom", "licences 7\n");
    for other in ["x.txt", ".hidden.prom", "gpu.prom.tmp"] {
        bed.write(other, "other 1\n");
    }
    let published = bed.source.read().await;
    let numbers = BTreeMap::from([("free{kind=\"b\"}".to_owned(), 2.0), ("licences".to_owned(), 7.0)]);
    assert_eq!(published, Published { numbers, problems: BTreeMap::new() });
}

#[tokio::test]
async fn a_directory_that_is_missing_publishes_nothing_and_is_no_problem() {
    let mut bed = Bed::new();
    bed.source.directory = bed.path("none");
    assert_eq!(bed.source.read().await, Published::default());
}

#[tokio::test]
async fn a_file_that_is_too_old_says_nothing_until_it_is_written_again() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 3\n");
    bed.pass(300);
    assert_eq!(bed.numbers().await, one("free", 3.0));
    bed.pass(1);
    assert_eq!(bed.numbers().await, []);
    let problem = bed.problem("a.prom").await.expect("a problem");
    assert!(problem.contains("older than 300 s (metrics-max-age-seconds), or dated as much later"), "{problem}");
    bed.write("a.prom", "free 3\n");
    assert_eq!(bed.numbers().await, one("free", 3.0));
    assert_eq!(bed.problem("a.prom").await, None);
}

#[tokio::test]
async fn a_file_of_the_future_does_not_hold_for_ever() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 3\n");
    bed.pass(-301);
    assert_eq!(bed.numbers().await, []);
    bed.pass(1);
    assert_eq!(bed.numbers().await, one("free", 3.0));
}

#[tokio::test]
async fn the_time_in_a_line_goes_before_that_of_the_file() {
    let mut bed = Bed::new();
    let now = bed.clock.now().as_millisecond();
    bed.write("a.prom", &format!("new 1\nold 2 {}\nyoung 3 {}\n", now - 300_001, now - 299_000));
    let keys: Vec<_> = bed.numbers().await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["new", "young"]);
    bed.pass(2);
    assert_eq!(bed.numbers().await, one("new", 1.0));
}

#[tokio::test]
async fn what_is_no_number_is_not_published_and_no_problem() {
    let mut bed = Bed::new();
    bed.write("a.prom", "a NaN\nb +Inf\nc -Inf\nd 1e400\ne 1\n");
    assert_eq!(bed.numbers().await, one("e", 1.0));
    assert_eq!(bed.problem("a.prom").await, None);
}

#[tokio::test]
async fn a_wrong_line_is_named_and_the_rest_counts() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 3\nsecret of somebody\n");
    assert_eq!(bed.numbers().await, one("free", 3.0));
    let problem = bed.problem("a.prom").await.expect("a problem");
    assert!(problem.contains("line 2: ") && !problem.contains("somebody"), "{problem}");
}

#[tokio::test]
async fn of_a_number_that_is_given_twice_the_first_holds() {
    let mut bed = Bed::new();
    bed.write("b.prom", "free{a=\"1\",b=\"2\"} 2\n");
    bed.write("a.prom", "free{b=\"2\",a=\"1\"} 1\n");
    assert_eq!(bed.numbers().await, one("free{a=\"1\",b=\"2\"}", 1.0));
    assert!(bed.problem("b.prom").await.expect("a problem").contains("given again"));
}

#[tokio::test]
async fn what_changes_is_read_again_also_within_one_tick() {
    let mut bed = Bed::new();
    for round in 0..10 {
        bed.write("a.prom", &format!("free {round}\n"));
        assert_eq!(bed.numbers().await, one("free", f64::from(round)));
    }
    bed.pass(100);
    assert_eq!(bed.numbers().await, one("free", 9.0));
    bed.write("a.prom", "free 10\n");
    assert_eq!(bed.numbers().await, one("free", 10.0));
    fs::remove_file(bed.path("a.prom")).unwrap();
    assert_eq!(bed.numbers().await, []);
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_read_again() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 1\n");
    bed.pass(10);
    bed.source.read().await;
    let content = |bed: &Bed| match &bed.source.last.files["a.prom"] {
        Found::Read(numbers) => Arc::clone(numbers),
        Found::Not(problem) => panic!("{problem}"),
    };
    let before = content(&bed);
    bed.source.read().await;
    assert!(Arc::ptr_eq(&before, &content(&bed)));
}

#[tokio::test]
async fn what_is_too_much_is_left_out_and_named() {
    let mut bed = Bed::new();
    bed.write("many.prom", &(0..1_002).map(|number| format!("n{number} 1\n")).collect::<String>());
    bed.write("large.prom", &" ".repeat((1 << 20) + 1));
    assert_eq!(bed.numbers().await.len(), 1_000);
    assert!(bed.problem("many.prom").await.expect("a problem").starts_with("2 numbers"));
    assert!(bed.problem("large.prom").await.expect("a problem").contains("1 MiB"));
    for number in 0..100 {
        bed.write(&format!("a{number}.prom"), "");
    }
    let directory = bed.directory.path().to_owned();
    assert!(bed.source.read().await.problems[&directory].contains("more than 100 files"));
}

#[tokio::test]
async fn what_is_no_file_is_named_and_holds_up_nothing() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 1\n");
    nix::unistd::mkfifo(&bed.path("pipe.prom"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(bed.path("directory.prom")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bed.path("endless.prom")).unwrap();
    std::os::unix::fs::symlink("nowhere", bed.path("dangling.prom")).unwrap();
    assert_eq!(bed.numbers().await, one("free", 1.0));
    for name in ["pipe.prom", "directory.prom", "endless.prom"] {
        assert_eq!(bed.problem(name).await.as_deref(), Some("is not a regular file"), "{name}");
    }
    assert_eq!(bed.source.read().await.problems.len(), 3);
}

#[tokio::test]
async fn a_link_to_a_collectors_own_file_is_followed() {
    let mut bed = Bed::new();
    let elsewhere = Bed::new();
    elsewhere.write("a.prom", "free 4\n");
    std::os::unix::fs::symlink(elsewhere.path("a.prom"), bed.path("link.prom")).unwrap();
    assert_eq!(bed.numbers().await, one("free", 4.0));
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_leaves_what_was_known_until_that_is_too_old() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 1\n");
    assert_eq!(bed.numbers().await, one("free", 1.0));
    let held = Arc::clone(&bed.source.turn).try_acquire_owned().expect("a turn");
    let published = bed.source.read().await;
    assert_eq!(published.numbers.len(), 1);
    assert!(published.problems[bed.directory.path()].contains("still hangs"), "{published:?}");
    bed.pass(301);
    assert_eq!(bed.numbers().await, []);
    drop(held);
    bed.source.directory = bed.path("a.prom");
    let problem = bed.source.read().await.problems.remove(&bed.source.directory).expect("a problem");
    assert!(problem.starts_with("cannot be read: "), "{problem}");
}

#[tokio::test]
async fn what_takes_longer_to_read_than_a_heartbeat_waits_counts_from_the_next_one_on() {
    let mut bed = Bed::new();
    bed.write("a.prom", "free 1\n");
    // A reading that nobody waits for any more ends like this, and then gives its turn back.
    let turn = Arc::clone(&bed.source.turn).try_acquire_owned().expect("a turn");
    assert!(bed.numbers().await.is_empty());
    let late = Files::look(bed.directory.path(), &Files::default(), bed.clock.now()).expect("files");
    *bed.source.found.lock().unwrap() = Some(late);
    assert_eq!(bed.numbers().await, one("free", 1.0));
    drop(turn);
    assert!(bed.source.read().await.problems.is_empty());
}

#[test]
fn a_problem_is_forgotten_once_it_is_over() {
    let mut told = Told::default();
    let file = PathBuf::from("a.prom");
    let problems = BTreeMap::from([(file.clone(), "old".to_owned())]);
    told.tell(&problems);
    assert_eq!(told.0[&file].failure(), Some("old"));
    told.tell(&BTreeMap::new());
    assert!(told.0.is_empty());
}
