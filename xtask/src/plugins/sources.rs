//! The digest of everything that the builtin balancers are made from.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::{BUILTIN, manifest::hex};

/// Files and folders whose every byte counts.
fn roots() -> Vec<String> {
    let mut roots = vec!["wit".to_owned(), "sdk/rust/Cargo.toml".into(), "sdk/rust/src".into(), "sdk/rust/wit".into()];
    for name in BUILTIN {
        roots.push(format!("plugins/{name}/Cargo.toml"));
        roots.push(format!("plugins/{name}/src"));
    }
    roots
}

/// A crate of the workspace that only tests depend on. The lock file does not tell such dependencies from others.
const TESTS_ONLY: &str = "evenkeel-plugin-cases";

/// The SHA-256 over the sources of the plugins, the SDK and the contract, the profile they are compiled with and the
/// versions of their dependencies. It changes with nothing else: not with line endings, paths or the rest of the workspace.
pub(super) fn digest(root: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    for place in roots() {
        collect(&root.join(place), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let text = read(&file)?.replace("\r\n", "\n");
        let name = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        add(&mut digest, &name, &text);
    }
    let packages = packages(&read(&root.join("Cargo.lock"))?)?;
    add(&mut digest, "packages", &packages.iter().map(Package::line).collect::<String>());
    add(&mut digest, "workspace", &workspace(&read(&root.join("Cargo.toml"))?, &packages)?);
    Ok(hex(&digest.finalize()))
}

fn add(digest: &mut Sha256, name: &str, text: &str) {
    digest.update(format!("{name}\0{}\0", text.len()));
    digest.update(text);
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The contract's and the plugins' files; documentation beside them does not count.
fn collect(place: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            collect(&entry?.path(), files)?;
        }
    } else if place.extension().is_none_or(|extension| extension != "md") {
        files.push(place.to_owned());
    }
    Ok(())
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Package {
    fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.version, self.checksum.as_deref().unwrap_or("here"))
    }

    /// Whether a line of `dependencies` (`name`, or `name version` where there are several) means this package.
    fn is(&self, dependency: &str) -> bool {
        let mut words = dependency.split(' ');
        words.next() == Some(&self.name) && words.next().is_none_or(|version| version == self.version)
    }
}

/// The plugins and everything that they depend on, from the lock file.
fn packages(lock: &str) -> anyhow::Result<BTreeSet<Package>> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock is damaged")?;
    let mut wanted: Vec<String> = BUILTIN.iter().map(|name| format!("evenkeel-plugin-{name}")).collect();
    let mut found = BTreeSet::new();
    while let Some(dependency) = wanted.pop() {
        if dependency == TESTS_ONLY {
            continue;
        }
        let package = lock.package.iter().find(|package| package.is(&dependency));
        let package = package.with_context(|| format!("Cargo.lock has no package `{dependency}`"))?;
        if found.insert(package.clone()) {
            wanted.extend(package.dependencies.iter().cloned());
        }
    }
    Ok(found)
}

/// What the workspace's own manifest says about the plugins: edition, profiles, and features of their dependencies.
fn workspace(manifest: &str, packages: &BTreeSet<Package>) -> anyhow::Result<String> {
    let manifest: Table = toml::from_str(manifest).context("Cargo.toml is damaged")?;
    let within = |path: &[&str]| -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(manifest.get(*first)?, |value, key| value.get(key))
    };
    let mut said = String::new();
    for path in [&["workspace", "package"][..], &["profile", "release"], &["profile", "plugin"]] {
        said += &format!("{path:?} = {:?}\n", within(path));
    }
    // Only the workspace's own crates take their dependencies from its manifest.
    let own = packages.iter().filter(|package| package.checksum.is_none());
    let named: BTreeSet<&str> = own
        .flat_map(|package| &package.dependencies)
        .filter_map(|it| it.split(' ').next())
        .filter(|&name| name != TESTS_ONLY)
        .collect();
    for name in named {
        if let Some(dependency) = within(&["workspace", "dependencies", name]) {
            said += &format!("{name} = {dependency:?}\n");
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        [[package]]
        name = "evenkeel-plugin-sessions"
        version = "0.1.0"
        dependencies = ["evenkeel-plugin-cases", "evenkeel-sdk"]
        [[package]]
        name = "evenkeel-plugin-system-load"
        version = "0.1.0"
        dependencies = ["evenkeel-sdk"]
        [[package]]
        name = "evenkeel-plugin-user-hash"
        version = "0.1.0"
        dependencies = ["twice 2.0.0"]
        [[package]]
        name = "evenkeel-plugin-cases"
        version = "0.1.0"
        dependencies = ["toml"]
        [[package]]
        name = "evenkeel-sdk"
        version = "1.0.0"
        [[package]]
        name = "toml"
        version = "1.0.0"
        checksum = "cd"
        [[package]]
        name = "twice"
        version = "1.0.0"
        [[package]]
        name = "twice"
        version = "2.0.0"
        checksum = "ab"
    "#;

    #[test]
    fn what_the_plugins_depend_on_counts_and_what_their_tests_depend_on_does_not() {
        let names: Vec<String> =
            packages(LOCK).unwrap().iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        let expected = [
            "evenkeel-plugin-sessions 0.1.0",
            "evenkeel-plugin-system-load 0.1.0",
            "evenkeel-plugin-user-hash 0.1.0",
            "evenkeel-sdk 1.0.0",
            "twice 2.0.0",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_other_crates_say_of_a_package_that_the_plugins_reach_only_indirectly_does_not_count() {
        let lock = LOCK.replace(
            "name = \"twice\"\n        version = \"2.0.0\"",
            "name = \"twice\"\n        version = \"2.0.0\"\n        dependencies = [\"toml\"]",
        );
        let packages = packages(&lock).unwrap();
        assert!(packages.iter().any(|package| package.name == "toml"));
        let said =
            |dependency| workspace(&format!("[workspace.dependencies]\ntoml = \"{dependency}\""), &packages).unwrap();
        assert_eq!(said("1"), said("2"));
    }

    #[test]
    fn the_features_of_a_dependency_count_and_the_rest_of_the_workspace_does_not() {
        let packages = packages(LOCK).unwrap();
        let said = |extra: &str| {
            let manifest = format!("[profile.plugin]\nopt-level = 3\n[workspace.dependencies]\n{extra}");
            workspace(&manifest, &packages).unwrap()
        };
        assert_ne!(said("twice = \"2\""), said("twice = { version = \"2\", features = [\"more\"] }"));
        assert_eq!(said("twice = \"2\""), said("twice = \"2\"\naxum = \"1\""));
    }
}
