//! Every name is honoured or answered, and the documentation says so.

use std::{fmt::Write as _, path::Path};

use super::{Answer, FILES, Name, files::UNREAD, names};
use crate::config::{Config, Flags, KeyPlaces, Problem, Profiles, Severity, Surroundings, load};

/// The configuration of a directory with one file in it.
fn with(file: &str, text: &str) -> (Option<Config>, Vec<Problem>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(file), text).unwrap();
    let flags = Flags { config_dir: Some(directory.path().to_owned()), ..Flags::default() };
    let surroundings = Surroundings::of_ada();
    let (config, problems) = load(&flags, &surroundings);
    // Where the files lie differs from test to test.
    let config = config.map(|config| Config { config_dir: None, ..config });
    (config, problems)
}

/// A file that gives a name this value, where the name may stand.
fn text(name: &Name, value: &str) -> String {
    let section = name.section.map(|section| format!("[{section}]\n")).unwrap_or_default();
    format!("{section}{}={value}\n", name.name)
}

/// What holds where, in the same place, a name stands that there is not.
fn usual(file: &str, name: &Name) -> Option<Config> {
    with(file, &text(&Name { name: "no-such-name", ..*name }, "1")).0
}

/// Whether two configurations differ in more than where their files lie. Of profiles, what they come to counts.
fn differ(one: Option<Config>, other: Option<Config>) -> bool {
    let plain = |config: Option<Config>| {
        let config = config.expect("a configuration");
        let told = (config.key_places.path().to_owned(), format!("{:?}", config.profiles.allowance("ada", &[])));
        (Config { key_places: KeyPlaces::named("/".into()), profiles: Profiles::default(), ..config }, told)
    };
    plain(one) != plain(other)
}

#[test]
fn every_name_is_honoured_or_answered() {
    for (file, _) in FILES {
        for name in names(file) {
            let shown = format!("{file}: {}", name.name);
            match name.answer {
                Answer::Honoured(sample) => {
                    let (config, problems) = with(file, sample);
                    assert!(sample.contains(&format!("{}=", name.name)), "{shown}");
                    if name.name == "load-balancing-enabled" {
                        // Several nodes, and the usual registry, which one machine alone reaches.
                        assert!(config.is_none() && problems[0].message.contains("wants a registry that every node"));
                        continue;
                    }
                    assert!(problems.is_empty(), "{shown}: {problems:?}");
                    assert!(differ(config, usual(file, name)), "{shown} changes nothing");
                }
                Answer::Instead(what) => {
                    let (config, problems) = with(file, &text(name, "1"));
                    let told: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
                    assert_eq!(told, [format!("{} has no effect here: {what}", name.name)]);
                    assert_eq!(problems[0].severity, Severity::Warning);
                    assert!(!differ(config, usual(file, name)), "{shown} changes something");
                }
                Answer::Only(value, why) => {
                    let (config, problems) = with(file, &text(name, "another"));
                    let told: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
                    assert_eq!(told, [format!("{}=another cannot be had in this version: {why}", name.name)]);
                    assert!(config.is_none() && problems[0].severity == Severity::Error, "{shown}");
                    let (config, problems) = with(file, &text(name, value));
                    assert!(problems.is_empty(), "{shown}: {problems:?}");
                    assert!(!differ(config, usual(file, name)), "{shown} changes something");
                }
            }
        }
    }
}

#[test]
fn no_file_has_a_name_twice_and_every_answer_is_one_line() {
    for (file, _) in FILES {
        let mut seen = std::collections::BTreeSet::new();
        for name in names(file) {
            assert!(seen.insert((name.section, name.name)), "{file}: {} is there twice", name.name);
            let (Answer::Honoured(said) | Answer::Instead(said) | Answer::Only(_, said)) = name.answer;
            assert!(!said.is_empty() && (matches!(name.answer, Answer::Honoured(_)) || !said.contains('\n')), "{said}");
        }
    }
}

#[test]
fn every_file_that_is_not_read_is_told_of_where_it_is() {
    for (name, severity, instead) in UNREAD {
        let (config, problems) = with(name, "anything\n");
        let [Problem { path, message, .. }] = problems.as_slice() else { panic!("{name}: {problems:?}") };
        assert!(path.ends_with(name) && *message == format!("is not read here: {instead}"), "{path:?}: {message}");
        assert_eq!(config.is_none(), severity == Severity::Error, "{name}");
        let (config, problems) = with(name, "# As it is installed.\n\n  # allow 10.0.0.0/8\n");
        assert!(config.is_some() && problems.is_empty(), "{name}: {problems:?}");
    }
}

/// The table of docs/configuration.md.
fn table() -> String {
    let mut table = String::from("| file | name | here |\n|---|---|---|\n");
    for (file, _) in FILES {
        for name in names(file) {
            let section = name.section.filter(|section| !["*", "small"].contains(section));
            let section = section.map(|section| format!("[{section}] ")).unwrap_or_default();
            let recalled = if name.recalled { " †" } else { "" };
            let here = match name.answer {
                Answer::Honoured(_) => "honoured".to_owned(),
                Answer::Instead(what) => what.to_owned(),
                Answer::Only(value, why) => format!("only `{value}`: {why}"),
            };
            let _ = writeln!(table, "| `{file}` | `{section}{}`{recalled} | {here} |", name.name);
        }
    }
    for (file, severity, instead) in UNREAD {
        let refused = if severity == Severity::Error { "ends the start: " } else { "" };
        let _ = writeln!(table, "| `{file}` † | any | {refused}{instead} |");
    }
    table
}

#[test]
fn the_documentation_has_the_same_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- legacy names -->\n\n", "\n<!-- end of legacy names -->");
    let (before, rest) = text.split_once(begin).expect("where the table begins");
    let (shown, after) = rest.split_once(end).expect("where the table ends");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert_eq!(
            shown, table,
            "docs/configuration.md: run this test with UPDATE_DOCS=1, and look at what it changes"
        );
    }
}
