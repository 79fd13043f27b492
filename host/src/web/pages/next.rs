//! Where a visitor goes after signing in: a path of this server, and nothing else.

use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const LONGEST: usize = 2048;
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The address of the sign-in page for a visitor who asked for `uri`.
pub(in crate::web) fn sign_in_target(method: &Method, uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |target| target.as_str());
    if method != Method::GET || wanted == "/" || same_site_path(wanted).is_none() {
        return "/sign-in".to_owned();
    }
    format!("/sign-in?next={}", utf8_percent_encode(wanted, KEPT))
}

/// The path, where a browser cannot take it for anything but a path of this server: one slash first, then neither a slash
/// nor a backslash, no control characters (browsers drop some of them and read on) and nothing outside of ASCII.
pub(super) fn same_site_path(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let is_plain = bytes.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'\\');
    let is_local = bytes.first() == Some(&b'/') && bytes.get(1) != Some(&b'/');
    // `/.//host` and the like become `//host` when a browser takes the dots out.
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let has_gap = path.contains("//") || path.split('/').any(is_dots);
    (is_plain && is_local && !has_gap && text.len() <= LONGEST).then_some(text)
}

fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_server_are_kept() {
        for path in ["/", "/s/7k3n9v2q/lab?reset&x=//a", "/sessions/7k3n9v2q/join", "/s/7k3n9v2q/tree/a%20b", "/#x"] {
            assert_eq!(same_site_path(path), Some(path));
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_not() {
        for path in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " /a",
            "http://evil.example",
            "ftp://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "@evil.example",
            ".evil.example",
            "/.//evil.example",
            "/%2e//evil.example",
            "/a/..//evil.example",
            "/a/%2E%2e/b",
            "/s/a//b",
            "/é",
            "/a b",
        ] {
            assert_eq!(same_site_path(path), None, "{path:?}");
        }
        assert_eq!(same_site_path(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn a_visitor_is_sent_to_sign_in_with_the_way_back() {
        let target = |method, uri: &str| sign_in_target(&method, &uri.parse().unwrap());
        assert_eq!(target(Method::GET, "/"), "/sign-in");
        assert_eq!(target(Method::GET, "/s/7k3n9v2q/lab?a=b&c"), "/sign-in?next=/s/7k3n9v2q/lab%3Fa%3Db%26c");
        assert_eq!(target(Method::POST, "/sessions"), "/sign-in");
        assert_eq!(target(Method::GET, "//evil.example/x"), "/sign-in");
    }
}
