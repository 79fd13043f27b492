//! Rules of the house that no other tool knows: every module says what it is, none grows too long, and the rooms of the
//! host use each other in one direction only.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{rooms, source};

/// Where the project's Rust lies.
const SOURCES: [&str; 5] = ["host", "plugins", "sdk/rust", "tests", "xtask"];

/// The longest that a file of the host may be without a reason.
const LONGEST: usize = 500;

/// How a file's module doc gives the reason why it is longer.
const REASON: &str = "//! Length: ";

/// Checks the whole project.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut problems = Vec::new();
    for directory in SOURCES {
        for file in source::files(&root.join(directory))? {
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let text = fs::read_to_string(&file).with_context(|| name.clone())?;
            let found = documentation(&text).into_iter().chain(length(&name, &text)).chain(rooms::check(&name, &text));
            problems.extend(found.map(|problem| format!("{name}: {problem}")));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

fn documentation(text: &str) -> Option<String> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    let said = first.is_some_and(|line| line.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty()));
    (!said).then(|| "no module doc: begin the file with `//!` and what it is".to_owned())
}

fn length(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let reason = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(REASON));
    let long = name.starts_with("host/src/") && lines > LONGEST && !reason;
    long.then(|| format!("{lines} lines: split it, or say in its module doc why not (`{REASON}…`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_is() {
        assert_eq!(documentation("//! Nodes.\nfn f() {}\n"), None);
        assert_eq!(documentation("#![no_std]\n//! Nodes.\n"), None);
        for text in ["", "fn f() {}\n//! Late.\n", "//!\nfn f() {}\n", "/// Of the function.\nfn f() {}\n"] {
            assert!(documentation(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_long_file_of_the_host_gives_its_reason() {
        let long = format!("//! Nodes.\n{}", "\n".repeat(500));
        assert!(length("host/src/domain.rs", &long).is_some());
        assert_eq!(length("host/src/domain.rs", &"\n".repeat(500)), None);
        assert_eq!(length("host/src/domain.rs", &format!("//! Length: one table.\n{long}")), None);
        assert_eq!(length("tests/src/lib.rs", &long), None);
    }
}
