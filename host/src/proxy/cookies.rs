//! Cookies: a session sees none of ours, and sets none outside its own prefix.

use http::{HeaderMap, HeaderValue, header::COOKIE};

use crate::{domain::SessionId, wire::names::is_own_cookie};

/// Takes our cookies out of a request.
pub fn keep_foreign(headers: &mut HeaderMap) {
    let kept: Vec<Vec<u8>> = headers
        .get_all(COOKIE)
        .iter()
        .map(|value| {
            let pairs = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let foreign = pairs.filter(|pair| !pair.is_empty() && !is_own_cookie(name(pair)));
            foreign.collect::<Vec<_>>().join(&b"; "[..])
        })
        .filter(|pairs| !pairs.is_empty())
        .collect();
    headers.remove(COOKIE);
    for pairs in kept {
        if let Ok(value) = HeaderValue::from_bytes(&pairs) {
            headers.append(COOKIE, value);
        }
    }
}

fn name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// A program's `Set-Cookie` within its prefix: `Path` at or below `/s/<id>`, no `Domain`. None for one that is named
/// like ours, that browsers would send back under another name, or that holds control characters, which browsers
/// disagree about.
pub fn within(cookie: &HeaderValue, id: SessionId) -> Option<HeaderValue> {
    let cookie = cookie.as_bytes();
    if cookie.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mut parts = cookie.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next()?;
    // Nameless: `=evenkeel=x` comes back as `evenkeel=x`.
    if !pair.contains(&b'=') || name(pair).trim_ascii().is_empty() || is_own_cookie(name(pair)) {
        return None;
    }
    let base = id.base_path();
    let mut path = base.as_bytes();
    let mut scoped = pair.to_vec();
    for attribute in parts.filter(|attribute| !attribute.is_empty()) {
        let key = name(attribute);
        let value = attribute.get(key.len() + 1..).unwrap_or_default().trim_ascii();
        let key = key.trim_ascii();
        if key.eq_ignore_ascii_case(b"domain") {
            continue;
        }
        if key.eq_ignore_ascii_case(b"path") {
            // The last one counts, as in browsers.
            path = if value == base.trim_end_matches('/').as_bytes() || value.starts_with(base.as_bytes()) {
                value
            } else {
                base.as_bytes()
            };
            continue;
        }
        scoped.extend_from_slice(b"; ");
        scoped.extend_from_slice(attribute);
    }
    scoped.extend_from_slice(b"; Path=");
    scoped.extend_from_slice(path);
    HeaderValue::from_bytes(&scoped).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_sees_all_cookies_but_ours() {
        let mut headers = HeaderMap::new();
        for value in [
            "_xsrf=2|a; evenkeel=secret; theme=\"dark; light\"",
            "evenkeel-csrf=secret;__Host-Evenkeel=secret",
            " username-x=\u{e9};; EVENKEEL=secret ; evenkeel",
        ] {
            headers.append(COOKIE, HeaderValue::from_str(value).expect("a value"));
        }
        keep_foreign(&mut headers);
        let left: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["_xsrf=2|a; theme=\"dark; light\"", "username-x=\u{e9}"]);
    }

    #[test]
    fn a_request_with_our_cookie_alone_has_none_left() {
        let mut headers: HeaderMap = [(COOKIE, HeaderValue::from_static("evenkeel=secret"))].into_iter().collect();
        keep_foreign(&mut headers);
        assert!(headers.is_empty());
    }

    fn scoped(cookie: &str) -> Option<String> {
        let id = "0000000a".parse().expect("an id");
        let scoped = within(&HeaderValue::from_bytes(cookie.as_bytes()).expect("a value"), id)?;
        Some(String::from_utf8(scoped.as_bytes().to_vec()).expect("text"))
    }

    #[test]
    fn a_session_sets_cookies_below_its_prefix_only() {
        for (sent, expected) in [
            ("a=1", "a=1; Path=/s/0000000a/"),
            ("a=1; Path=/", "a=1; Path=/s/0000000a/"),
            ("a=1; path=/s/0000000b/; HttpOnly", "a=1; HttpOnly; Path=/s/0000000a/"),
            ("a=1; Path=/s/0000000ax", "a=1; Path=/s/0000000a/"),
            ("a=1; Path=/s/0000000a/lab; Secure", "a=1; Secure; Path=/s/0000000a/lab"),
            ("a=1; Path=/s/0000000a", "a=1; Path=/s/0000000a"),
            ("a=1; Path=/s/0000000a/; Path=/", "a=1; Path=/s/0000000a/"),
            ("a=1; PATH = / ; DOMAIN = .example.org; Max-Age=5", "a=1; Max-Age=5; Path=/s/0000000a/"),
            ("a=x=y; Domain=example.org;;SameSite=Lax", "a=x=y; SameSite=Lax; Path=/s/0000000a/"),
        ] {
            assert_eq!(scoped(sent).as_deref(), Some(expected), "{sent}");
        }
    }

    #[test]
    fn a_session_cannot_set_a_cookie_that_comes_back_as_ours() {
        for sent in [
            "evenkeel=forged",
            " Evenkeel =forged; Path=/s/0000000a/",
            "evenkeel-csrf=forged",
            "__Host-evenkeel=forged",
            "=evenkeel=forged",
            "evenkeel",
            " = evenkeel=forged",
            "\tevenkeel=forged",
            "a\tb=1",
        ] {
            assert_eq!(scoped(sent), None, "{sent}");
        }
    }
}
