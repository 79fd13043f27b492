//! Names on the wire that are the product's own: its cookies and its headers. No session sees or sets them, and no
//! browser's are believed.

use http::{HeaderMap, HeaderName};

/// The name of the sign-in cookie. Every cookie whose name starts with it, in any case, is the product's own.
pub const COOKIE: &str = "evenkeel";

/// The start of the name of every header that nodes send each other.
pub const HEADER_PREFIX: &str = "evenkeel-";

/// On a forwarded request: whose it is, under the MAC. On the answer: `misdirected` where the session is not here.
pub const HOP: HeaderName = HeaderName::from_static("evenkeel-hop");

/// On a control call: who calls, under the MAC.
pub const CALL: HeaderName = HeaderName::from_static("evenkeel-call");

/// Whether a cookie of this name is the product's own. The prefixes to which browsers give a meaning do not hide it.
pub fn is_own_cookie(name: &[u8]) -> bool {
    let mut name = name.trim_ascii();
    for prefix in [&b"__host-"[..], b"__secure-", b"__http-", b"__host-http-"] {
        name = strip_prefix(name, prefix).unwrap_or(name);
    }
    strip_prefix(name, COOKIE.as_bytes()).is_some()
}

fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A header's name as frameworks read it that hand headers on as variables: `X_User`, `X.User` and `x-user` are one.
pub fn plain(name: &HeaderName) -> String {
    name.as_str().replace(['_', '.'], "-")
}

/// Whether a header of this name, or one that a framework takes for it, is the product's own.
pub fn is_own_header(name: &HeaderName) -> bool {
    plain(name).starts_with(HEADER_PREFIX)
}

/// Takes the product's own headers out.
pub fn remove_own_headers(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers.keys().filter(|name| is_own_header(name)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn own_cookies_are_known_under_any_case_and_prefix() {
        for name in ["evenkeel", "evenkeel-csrf", "Evenkeel", " evenkeel_2", "__Host-evenkeel", "__SECURE-EvenKeel-x"] {
            assert!(is_own_cookie(name.as_bytes()), "{name}");
        }
        for name in ["", "even", "_xsrf", "username-evenkeel", "__Host-even", "__Host-"] {
            assert!(!is_own_cookie(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn own_headers_go_under_every_alias_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in ["Evenkeel-Hop", "evenkeel_hop", "EVENKEEL.CALL", "evenkeel-", "x-evenkeel", "accept"] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static("x"));
        }
        headers.append(HOP, HeaderValue::from_static("a second one"));
        remove_own_headers(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-evenkeel"]);
    }
}
