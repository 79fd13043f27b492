//! The rooms of the host and who may use whom: cli → web → proxy → sessions, pam → cluster, launcher, balancer → wire →
//! store, config, accounts → domain, aside. A room uses only rooms further down. Each large library has its one room, too.

use super::source;

/// The rooms from the top down; those of one line do not use each other.
const FLOORS: [&[&str]; 8] = [
    &["cli"],
    &["web"],
    &["proxy"],
    &["sessions", "pam"],
    &["cluster", "launcher", "balancer"],
    &["wire"],
    &["store", "config", "accounts"],
    &["domain", "aside"],
];

/// Libraries, and the files that may name them.
const FENCES: [(&[&str], &[&str]); 6] = [
    (&["wasmtime"], &["host/src/balancer/wasm"]),
    (&["sqlx"], &["host/src/store"]),
    (&["axum", "utoipa_axum"], &["host/src/web"]),
    (&["libloading"], &["host/src/pam"]),
    (&["rustls", "tokio_rustls"], &["host/src/wire"]),
    (&["hyper", "hyper_util"], &["host/src/web", "host/src/proxy", "host/src/wire"]),
];

/// The program above each session outlives daemons and stays small.
const SUPERVISOR: &str = "host/src/launcher/supervisor";

/// What the supervisor names none of.
const TOO_LARGE: [&str; 9] =
    ["wasmtime", "sqlx", "axum", "utoipa_axum", "hyper", "hyper_util", "rustls", "tokio_rustls", "tokio"];

/// What a file breaks. Files outside the host break nothing.
pub(super) fn check(name: &str, text: &str) -> Vec<String> {
    let Some(path) = name.strip_prefix("host/src/") else { return Vec::new() };
    let code = source::code(text);
    let mut problems = Vec::new();
    let room = path.split(['/', '.']).next().unwrap_or_default();
    if let Some(floor) = floor_of(room) {
        for (line, used) in used_rooms(&code) {
            if used != room && floor_of(&used).is_some_and(|below| below <= floor) {
                problems.push(format!("line {line}: {room} may not use {used}: it is not further down"));
            }
        }
    }
    for (line, library) in named_libraries(&code) {
        let fence = FENCES.iter().find(|(libraries, _)| libraries.contains(&library));
        if fence.is_some_and(|(_, files)| !files.iter().any(|start| within(name, start))) {
            problems.push(format!("line {line}: {library} may not be named here"));
        } else if within(name, SUPERVISOR) {
            problems.push(format!("line {line}: the supervisor does without {library}"));
        }
    }
    problems
}

fn within(name: &str, start: &str) -> bool {
    name.strip_prefix(start).is_some_and(|rest| rest.starts_with(['.', '/']))
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The first names after `crate::`, each with its line: one of `crate::a::b`, several of `crate::{a::b, c}`.
fn used_rooms(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let line = line(code, at);
        let rest = code[at + start.len()..].trim_start();
        match rest.strip_prefix('{') {
            None => used.push((line, word(rest))),
            Some(group) => used.extend(members(group).into_iter().map(|name| (line, name))),
        }
    }
    used
}

/// The first name of each member of a group whose brace has been opened.
fn members(group: &str) -> Vec<String> {
    let mut names = vec![word(group.trim_start())];
    let mut depth = 1;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The fenced libraries that paths begin with, each with its line.
fn named_libraries(code: &str) -> Vec<(usize, &'static str)> {
    let mut named = Vec::new();
    for library in TOO_LARGE {
        for (at, _) in code.match_indices(library) {
            let before = code[..at].chars().next_back();
            let after = &code[at + library.len()..];
            let begins = !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
            let used = after.starts_with("::") || (code[..at].ends_with("use ") && after.starts_with([';', ' ']));
            let of_another = code[..at].ends_with("::") && !code[..at].ends_with(" ::");
            if begins && used && !of_another {
                named.push((line(code, at), library));
            }
        }
    }
    named
}

fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_uses_only_rooms_further_down() {
        assert!(check("host/src/web/pages.rs", "use crate::{proxy::Proxy, sessions::{self, x}, domain};").is_empty());
        assert!(check("host/src/store.rs", "use crate::store::sqlite; use crate::domain::Node;").is_empty());
        for (name, code) in [
            ("host/src/proxy.rs", "use crate::web::Page;"),
            ("host/src/store.rs", "use crate::config::Config;"),
            ("host/src/cluster/load.rs", "use crate::{\n    domain::Node,\n    launcher::Kind,\n};"),
            ("host/src/domain/node.rs", "fn f() -> crate::store::X {}"),
            ("host/src/wire/mac.rs", "use crate::{domain::{A, B}, web::C};"),
        ] {
            assert_eq!(check(name, code).len(), 1, "{name}: {code}");
        }
    }

    #[test]
    fn words_in_comments_and_texts_are_no_uses() {
        assert!(
            check("host/src/domain.rs", "/// See [`crate::web`].\nconst A: &str = \"crate::web::hyper::\";").is_empty()
        );
    }

    #[test]
    fn each_large_library_has_its_room() {
        assert!(check("host/src/balancer/wasm.rs", "use wasmtime::Engine;").is_empty());
        assert!(check("host/src/balancer/wasm/engine.rs", "fn f() -> wasmtime::Result<()> {}").is_empty());
        assert!(check("host/src/wire/client.rs", "use hyper::body::Incoming; use tokio::net;").is_empty());
        assert!(check("host/src/sessions.rs", "use crate::wire::hyper_like; let axum = 1;").is_empty());
        for (name, code) in [
            ("host/src/balancer.rs", "use wasmtime::Engine;"),
            ("host/src/sessions.rs", "fn f() -> sqlx::Result<()> {}"),
            ("host/src/proxy.rs", "use axum::Router;"),
            ("host/src/webhook.rs", "use axum::Router;"),
            ("host/src/launcher/local.rs", "use hyper_util::rt;"),
            ("host/src/launcher/supervisor/socket.rs", "use tokio::net::UnixListener;"),
            ("host/src/launcher/supervisor.rs", "use ::tokio::net;"),
        ] {
            assert_eq!(check(name, code).len(), 1, "{name}: {code}");
        }
    }
}
