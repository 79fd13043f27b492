//! The files of a new balancer's crate.

/// What the example `starter` of the SDK and the SDK itself consist of, each file with its place in the new crate.
macro_rules! embedded {
    ($($place:literal = $path:literal,)*) => {
        &[$(($place, include_str!(concat!("../../../../../", $path)))),*]
    };
}

/// Taken as they are.
const COPIED: &[(&str, &str)] = embedded! {
    "src/lib.rs" = "sdk/rust/examples/starter/src/lib.rs",
    "evenkeel-sdk/Cargo.toml" = "host/templates/plugin/evenkeel-sdk.toml",
    "evenkeel-sdk/LICENSE-APACHE" = "LICENSE-APACHE",
    "evenkeel-sdk/LICENSE-MIT" = "LICENSE-MIT",
    "evenkeel-sdk/README.md" = "sdk/rust/README.md",
    "evenkeel-sdk/src/answer.rs" = "sdk/rust/src/answer.rs",
    "evenkeel-sdk/src/balancer.rs" = "sdk/rust/src/balancer.rs",
    "evenkeel-sdk/src/bindings.rs" = "sdk/rust/src/bindings.rs",
    "evenkeel-sdk/src/guest.rs" = "sdk/rust/src/guest.rs",
    "evenkeel-sdk/src/lib.rs" = "sdk/rust/src/lib.rs",
    "evenkeel-sdk/src/log.rs" = "sdk/rust/src/log.rs",
    "evenkeel-sdk/src/lookup.rs" = "sdk/rust/src/lookup.rs",
    "evenkeel-sdk/src/node.rs" = "sdk/rust/src/node.rs",
    "evenkeel-sdk/src/nodes.rs" = "sdk/rust/src/nodes.rs",
    "evenkeel-sdk/src/order.rs" = "sdk/rust/src/order.rs",
    "evenkeel-sdk/src/request.rs" = "sdk/rust/src/request.rs",
    "evenkeel-sdk/src/settings.rs" = "sdk/rust/src/settings.rs",
    "evenkeel-sdk/wit/balancer.wit" = "sdk/rust/wit/balancer.wit",
};

const MANIFEST: &str = include_str!("../../../../templates/plugin/Cargo.toml");
const README: &str = include_str!("../../../../templates/plugin/README.md");
const CASES: &str = include_str!("../../../../../sdk/rust/examples/starter/cases.toml");

/// Every file of the crate of that name, with its place in it.
pub(super) fn files(name: &str) -> Vec<(String, String)> {
    let named = |text: &str| text.replace("NAME", name).replace("CRATE", &name.replace('-', "_"));
    let mut files = vec![
        ("Cargo.toml".to_owned(), named(MANIFEST)),
        ("README.md".to_owned(), named(README)),
        ("cases.toml".to_owned(), CASES.replace("\"starter\"", &format!("\"{name}\""))),
        (".gitignore".to_owned(), "/target\n".to_owned()),
    ];
    files.extend(COPIED.iter().map(|&(place, text)| (place.to_owned(), text.to_owned())));
    files
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use toml::{Table, Value};

    use super::{COPIED, files};

    fn file(name: &str) -> String {
        let found = files("gpu-first").into_iter().find(|(place, _)| place == name);
        found.unwrap_or_else(|| panic!("there is no {name}")).1
    }

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn manifest(path: &str) -> Table {
        fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
    }

    #[test]
    fn the_new_crate_bears_the_name_and_no_placeholder_is_left() {
        assert!(file("Cargo.toml").contains("\nname = \"gpu-first\"\n"));
        assert!(file("cases.toml").contains("\nbalancer = \"gpu-first\"\n"));
        let readme = file("README.md");
        assert!(readme.contains("release/gpu_first.wasm gpu-first.wasm\n"), "{readme}");
        for (place, text) in files("gpu-first").iter().filter(|(place, _)| !place.starts_with("evenkeel-sdk/")) {
            for left in ["NAME", "CRATE", "starter"] {
                assert!(!text.contains(left), "{place}: {left}");
            }
        }
    }

    #[test]
    fn every_source_of_the_sdk_is_in_the_new_crate() {
        for folder in ["src", "wit"] {
            let there = fs::read_dir(root().join("sdk/rust").join(folder)).unwrap();
            let there: BTreeSet<_> =
                there.map(|entry| format!("evenkeel-sdk/{folder}/{}", entry.unwrap().file_name().display())).collect();
            let start = format!("evenkeel-sdk/{folder}/");
            let copied = COPIED.iter().map(|(place, _)| (*place).to_owned()).filter(|place| place.starts_with(&start));
            assert_eq!(copied.collect::<BTreeSet<_>>(), there);
        }
    }

    /// What it inherits there stands in the copy, and the version of what it depends on is the one that is tested.
    #[test]
    fn the_manifest_of_the_copied_sdk_says_what_the_sdks_own_does() {
        let copy: Table = file("evenkeel-sdk/Cargo.toml").parse().unwrap();
        let (own, workspace) = (manifest("sdk/rust/Cargo.toml"), manifest("Cargo.toml"));
        let shared = &workspace["workspace"]["package"];
        for (key, value) in own["package"].as_table().unwrap() {
            let inherits = value.get("workspace") == Some(&Value::Boolean(true));
            assert_eq!(copy["package"].get(key), Some(if inherits { &shared[key] } else { value }), "{key}");
        }
        let needed: BTreeSet<_> = own["dependencies"].as_table().unwrap().keys().collect();
        let copied = copy["dependencies"].as_table().unwrap();
        assert_eq!(copied.keys().collect::<BTreeSet<_>>(), needed);
        let lock = manifest("Cargo.lock");
        let locked = |name: &str| {
            let packages = lock["package"].as_array().unwrap();
            packages.iter().find(|package| package["name"].as_str() == Some(name)).unwrap()["version"].clone()
        };
        for (name, dependency) in copied {
            let mut expected = workspace["workspace"]["dependencies"][name].clone();
            expected["version"] = Value::String(format!("={}", locked(name).as_str().unwrap()));
            assert_eq!(dependency, &expected, "{name}");
        }
    }

    #[test]
    fn the_new_crate_builds_for_the_oldest_compiler_that_the_sdk_is_for() {
        let (new, sdk): (Table, Table) = (file("Cargo.toml").parse().unwrap(), manifest("sdk/rust/Cargo.toml"));
        assert_eq!(new["package"]["rust-version"], sdk["package"]["rust-version"]);
    }
}
