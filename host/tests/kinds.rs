//! Kinds read from files: the builtin ones, a directory of more, and errors that say where.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use std::{ffi::OsStr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use evenkeel::{
    config::{KindOptions, KindsChanged},
    launcher::{
        BasePath, Kind, Kinds,
        kind::{KindErrors, Listen, Suspend, Template},
    },
};
use nix::sys::signal::Signal;

const GOOD: &str = r#"name = "mine"
title = "Mine"
program = "my-program"
arguments = ["--port={port}"]
listen = "port"
base-path = "stripped"
suspend = "keeps"

[ready]
path = "/healthz"
"#;

fn errors(text: &str) -> String {
    let error: KindErrors = Kind::parse(Path::new("/etc/kinds/mine.toml"), text).unwrap_err();
    error.to_string()
}

#[test]
fn the_builtin_kinds_and_the_tests_own_are_good() {
    let kinds = Kinds::load(None, OsStr::new("")).unwrap();
    let names: Vec<_> = kinds.all().iter().map(|kind| kind.name.clone()).collect();
    assert_eq!(names, ["job", "jupyter-notebook", "jupyterlab", "rstudio", "vscode"]);
    for kind in kinds.all() {
        let (listen, base_path) = match kind.name.as_str() {
            "job" => (Listen::Nothing, BasePath::Kept),
            "rstudio" | "vscode" => (Listen::Unix, BasePath::Stripped),
            _ => (Listen::Unix, BasePath::Kept),
        };
        assert_eq!((kind.listen, kind.base_path, kind.untested), (listen, base_path, kind.name == "rstudio"));
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kinds");
    assert!(Kinds::load(Some(&directory), OsStr::new("")).unwrap().get("echo").is_some());
}

#[test]
fn what_is_not_said_has_usual_values() {
    let kind = Kind::parse(Path::new("mine.toml"), GOOD).unwrap();
    assert_eq!((kind.listen, kind.base_path, kind.suspend), (Listen::Port, BasePath::Stripped, Suspend::Keeps));
    assert_eq!((kind.stop.signal, kind.stop.grace), (Signal::SIGTERM, Duration::from_secs(10)));
    let ready = kind.ready.unwrap();
    assert_eq!((ready.statuses, ready.limit), (vec![200], Duration::from_secs(120)));
}

#[test]
fn what_a_kind_says_of_its_use_is_checked() {
    let activity = "[activity]\nnever-idle = true\npolls = [\"a\", \"POST b/*\"]\nshortest-message = 14\n";
    let kind = Kind::parse(Path::new("mine.toml"), &format!("{GOOD}{activity}")).unwrap();
    assert!(kind.activity.never_idle && kind.activity.polls[1].is("POST", "b/c"));
    let probe = |probe: &str| format!("{GOOD}[[activity.probes]]\n{probe}");
    for (text, problem) in [
        (format!("{GOOD}[activity]\npolls = [\"/a\"]"), "mine.toml:12: activity.polls: must be a path below"),
        (format!("{GOOD}[activity]\nidle = 1"), "mine.toml:12: activity.idle: unknown field `idle`"),
        (probe("path = \"x\"\nlast = \"a\""), "mine.toml:12: activity.probes.path: must start with / or {base_path}"),
        (
            probe("path = \"/\""),
            "mine.toml:12: activity.probes.path: what the answer says must be told by busy or last",
        ),
        (probe("path = \"/{home}\"\nlast = \"a\""), "mine.toml:12: activity.probes.path: there is no {home} here"),
        (probe("path = \"/\"\nlast = \"a..b\""), "mine.toml:13: activity.probes.last: must be at most 8 names"),
        (
            probe("path = \"/\"\nbusy = { at = \"a\", is = [], because = \"it is\" }"),
            "mine.toml:13: activity.probes.busy.is: must be 1 to 64 words",
        ),
        (
            probe("path = \"/\"\nbusy = { at = \"a\", is = [\"b\"], because = \"\\u0007\" }"),
            "mine.toml:13: activity.probes.busy.because: must be a sentence",
        ),
        (format!("{GOOD}[stop]\nsuspended-status = 0"), "mine.toml:12: stop.suspended-status: must be a status from 1"),
        (format!("{GOOD}[stop]\nsuspend-signal = \"USR1\""), "mine.toml:12: stop.suspend-signal: USR1 is no signal"),
    ] {
        let told = errors(&text);
        assert!(told.contains(problem), "{told} for {text}");
    }
}

#[test]
fn an_error_names_file_line_field_and_what_would_be_right() {
    let cases = [
        (GOOD.replace("title", "titel"), "mine.toml:2: titel: unknown field `titel`"),
        (GOOD.replace("\"Mine\"", "7"), "mine.toml:2: title: invalid type: integer `7`, expected a string"),
        (
            GOOD.replace("\"port\"", "\"tcp\""),
            "mine.toml:5: listen: unknown variant `tcp`, expected one of `unix`, `port`, `nothing`",
        ),
        (GOOD.replace("{port}", "{prot}"), "mine.toml:4: arguments: unknown variable {prot}; there are {id} {user}"),
        (
            GOOD.replace("{port}", "{port}{socket}"),
            "mine.toml:4: arguments: there is no {socket} where listen = \"port\"",
        ),
        (GOOD.replace("={port}", ""), "mine.toml:5: listen: the program is not told where to listen: put {port}"),
        (GOOD.replace("{port}", "{port}-{secret}"), "mine.toml:4: arguments: {secret} may stand in [environment]"),
        (GOOD.replace("\"/healthz\"", "\"healthz\""), "mine.toml:10: ready.path: must start with / or {base_path}"),
        (GOOD.replace("/healthz", "/{secret}"), "mine.toml:10: ready.path: {secret} may stand in"),
        (GOOD.replace("\"mine\"", "\"../mine\""), "mine.toml:1: name: must be 1 to 64 characters of a-z"),
        (GOOD.replace("my-program", "bin/my-program"), "mine.toml:3: program: must be a name to be looked for on PATH"),
        (format!("{GOOD}statuses = [99]"), "mine.toml:11: ready.statuses: must be HTTP statuses"),
        (format!("{GOOD}seconds = 999999"), "mine.toml:11: ready.seconds: must be at most 86400 seconds"),
        (format!("{GOOD}[stop]\nsignal = \"TERM\""), "mine.toml:12: stop.signal: TERM is no signal; SIGTERM,"),
        (format!("{GOOD}[headers]\n\"a b\" = \"\""), "mine.toml:12: headers.a b: is no name for a header"),
        (format!("{GOOD}[headers]\na = \"\\u0007\""), "mine.toml:12: headers.a: must be printable ASCII"),
        (format!("{GOOD}[environment]\n\"A=B\" = \"\""), "mine.toml:12: environment.A=B: is no name for an"),
        (GOOD.replace("suspend = \"keeps\"\n", ""), "missing field `suspend`"),
        (format!("{GOOD}seconds = \"1"), "mine.toml:11"),
        (String::new(), "missing field `name`"),
    ];
    for (text, expected) in cases {
        let shown = errors(&text);
        assert!(shown.contains(expected), "expected {expected:?}, there is {shown:?}");
        assert!(shown.starts_with("/etc/kinds/mine.toml"), "{shown}");
    }
}

#[test]
fn every_error_of_every_file_is_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let bad = GOOD.replace("{port}", "{prot}").replace("/healthz", "healthz");
    std::fs::write(directory.path().join("a.toml"), bad).unwrap();
    std::fs::write(directory.path().join("b.toml"), GOOD.replace("\"Mine\"", "\"\"")).unwrap();
    std::fs::write(directory.path().join("c.toml"), "x".repeat(100_000)).unwrap();
    std::fs::write(directory.path().join("d.toml"), b"\xff\xfe").unwrap();
    std::fs::write(directory.path().join("notes.txt"), "no kind").unwrap();
    let shown = Kinds::load(Some(directory.path()), OsStr::new("")).unwrap_err().to_string();
    for expected in ["a.toml:4: arguments", "a.toml:10: ready.path", "b.toml:2: title", "c.toml: is longer", "d.toml: "]
    {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    assert!(!shown.contains("notes.txt"), "{shown}");
}

#[test]
fn a_directory_adds_kinds_and_overrides_builtin_ones_but_not_itself() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lab.toml"), GOOD.replace("\"mine\"", "\"jupyterlab\"")).unwrap();
    std::fs::write(directory.path().join("mine.toml"), GOOD).unwrap();
    let kinds = Kinds::load(Some(directory.path()), OsStr::new("")).unwrap();
    assert_eq!(kinds.get("jupyterlab").unwrap().title, "Mine");
    let builtin = Kinds::load(None, OsStr::new("")).unwrap().all().len();
    assert_eq!(kinds.all().len(), builtin + 1);

    std::fs::write(directory.path().join("mine2.toml"), GOOD).unwrap();
    let shown = Kinds::load(Some(directory.path()), OsStr::new("")).unwrap_err().to_string();
    assert!(shown.contains("mine2.toml: name: ") && shown.contains("mine.toml already describes"), "{shown}");
    assert!(Kinds::load(Some(Path::new("/no/such/directory")), OsStr::new("")).is_ok());
}

#[test]
fn a_kind_is_offered_where_its_program_can_be_executed() {
    let (config, bin, extra) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(config.path().join("mine.toml"), GOOD).unwrap();
    let search = format!("search = [\"{}\"]\nname = \"extra\"", extra.path().display());
    std::fs::write(config.path().join("extra.toml"), GOOD.replace("name = \"mine\"", &search)).unwrap();
    let kinds = Kinds::load(Some(config.path()), bin.path().as_os_str()).unwrap();
    // A job needs no program.
    let is_service = |kind: &&std::sync::Arc<Kind>| !kind.is_job();
    let offered = || kinds.offered().iter().filter(is_service).map(|kind| kind.name.clone()).collect::<Vec<_>>();
    assert!(offered().is_empty());
    for (directory, expected) in [(&extra, vec!["extra"]), (&bin, vec!["extra", "mine"])] {
        let program = directory.path().join("my-program");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(offered(), expected, "it cannot be executed yet");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(offered(), expected);
    }
}

/// The fields of a kind, as its file names them.
const FIELDS: [&str; 27] = [
    "name",
    "title",
    "program",
    "search",
    "arguments",
    "directory",
    "listen",
    "base-path",
    "suspend",
    "untested",
    "[environment]",
    "[headers]",
    "[files]",
    "[ready]",
    "path",
    "statuses",
    "seconds",
    "[version]",
    "[stop]",
    "signal",
    "grace-seconds",
    "suspend-signal",
    "suspended-status",
    "polls",
    "shortest-message",
    "never-idle",
    "[[activity.probes]]",
];

#[test]
fn the_examples_of_the_documentation_are_kinds_and_it_names_every_field() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kinds.md")).unwrap();
    let examples: Vec<_> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();
    assert_eq!(examples.len(), 2);
    let kinds: Vec<_> =
        examples.iter().map(|(example, _)| Kind::parse(Path::new("docs/kinds.md"), example).unwrap()).collect();
    assert_eq!((kinds[0].files.len(), kinds[0].is_job(), kinds[1].is_job()), (1, false, true));
    for field in FIELDS {
        assert!(text.contains(&format!("`{field}`")), "{field}");
    }
    for kind in Kinds::load(None, OsStr::new("")).unwrap().all() {
        assert!(text.contains(&format!("| `{}` |", kind.name)), "{}", kind.name);
    }
}

#[test]
fn a_kind_that_listens_on_nothing_has_nothing_to_be_reached_by() {
    let job = "name = \"mine\"\ntitle = \"Mine\"\nlisten = \"nothing\"\nsuspend = \"loses\"\n";
    let kind = Kind::parse(Path::new("mine.toml"), job).unwrap();
    assert!(kind.is_job() && kind.ready.is_none());
    for (more, field) in [
        ("program = \"x\"", "program"),
        ("base-path = \"kept\"", "base-path"),
        ("ready = { path = \"/\" }", "ready"),
        ("arguments = [\"x\"]", "arguments"),
        ("headers = { A = \"x\" }", "headers.A"),
        ("version = { arguments = [\"-v\"] }", "version.arguments"),
        ("environment = { A = \"{port}\" }", "environment.A"),
    ] {
        let error = Kind::parse(Path::new("mine.toml"), &format!("{job}{more}\n")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("mine.toml:5: {field}: there ")), "{more}: {error}");
    }
    let service = GOOD.replace("base-path = \"stripped\"\n", "");
    let error = Kind::parse(Path::new("mine.toml"), &service).unwrap_err().to_string();
    assert!(error.contains("listen: base-path is missing"), "{error}");
}

#[test]
fn a_kinds_own_files_have_plain_names_and_none_of_the_servers() {
    let with = |name: &str| {
        let text = format!("{GOOD}\n[files]\n\"{name}\" = \"{{secret}}\"\n");
        Kind::parse(Path::new("mine.toml"), &text).map(|kind| kind.files.len()).map_err(|error| error.to_string())
    };
    assert_eq!(with("a.conf"), Ok(1));
    for name in ["", ".hidden", "../up", "a/b", "state.json", "control.sock", "exit.json", "script", "x.new"] {
        let error = with(name).unwrap_err();
        assert!(error.starts_with("mine.toml:"), "{name}: {error}");
    }
    let many: String = (0..17).map(|number| format!("f{number} = \"x\"\n")).collect();
    let error = Kind::parse(Path::new("mine.toml"), &format!("{GOOD}\n[files]\n{many}")).unwrap_err().to_string();
    assert!(error.contains("must be at most 16 files"), "{error}");
}

#[test]
fn jupyter_conf_and_vscode_conf_change_the_builtin_kinds_and_a_file_of_ones_own_goes_before() {
    let changed = KindsChanged::from([
        ("jupyterlab".to_owned(), KindOptions { withheld: true, ..KindOptions::default() }),
        (
            "vscode".to_owned(),
            KindOptions {
                withheld: false,
                program: Some("/opt/code-server".into()),
                arguments: vec!["--extensions-dir=/opt/{x}".to_owned()],
            },
        ),
    ]);
    let kinds = Kinds::load_changed(None, &changed, OsStr::new("")).unwrap();
    assert!(kinds.get("jupyterlab").is_none() && kinds.get("jupyter-notebook").is_some());
    let [usual, vscode] = [Kinds::load(None, OsStr::new("")).unwrap(), kinds].map(|kinds| kinds.get("vscode").unwrap());
    assert_eq!(vscode.program, "/opt/code-server");
    // As it is: braces in it stand for nothing.
    let (last, before) = vscode.arguments.split_last().unwrap();
    assert_eq!((last, before), (&Template::literal("--extensions-dir=/opt/{x}"), &usual.arguments[..]));

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("vscode.toml"), GOOD.replace("name = \"mine\"", "name = \"vscode\"")).unwrap();
    let kinds = Kinds::load_changed(Some(directory.path()), &changed, OsStr::new("")).unwrap();
    assert_ne!(kinds.get("vscode").unwrap().program, "/opt/code-server");
}
