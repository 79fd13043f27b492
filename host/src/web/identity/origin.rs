//! Whether a request was made by a page of this server: what stands between a cookie and pages of other sites.

use http::{HeaderMap, header};

use crate::proxy::origin;

/// Whether the browser says that a page of this very server made the request. `Sec-Fetch-Site` and `Origin` cannot be set
/// by pages; where both are there, neither may disagree; where neither is there, nothing is proven.
/// `secure` is whether browsers reach this server by its own TLS only.
pub(crate) fn same_origin(headers: &HeaderMap, secure: bool) -> bool {
    let fetch_site = headers.get("sec-fetch-site").map(|site| site == "same-origin");
    let origin = headers.get(header::ORIGIN).map(|_| origin_is_host(headers, secure));
    match (fetch_site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

/// Where this server has no TLS, the scheme is left out: behind something that ends TLS the browser's is not ours.
fn origin_is_host(headers: &HeaderMap, secure: bool) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    match (origin.to_str(), origin::host(headers)) {
        (Ok(origin), Ok(host)) => origin::same(origin, host, secure),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_origin_of(headers: &HeaderMap) -> bool {
        same_origin(headers, false)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_page_of_this_server_is_of_the_same_origin() {
        for (origin, host) in [
            ("http://node1:8787", "node1:8787"),
            ("http://node1", "node1:80"),
            ("https://Node1.example", "node1.example"),
            ("http://[::1]:8787", "[::1]:8787"),
        ] {
            assert!(same_origin_of(&headers(&[("origin", origin), ("host", host)])), "{origin} {host}");
        }
        assert!(same_origin_of(&headers(&[("sec-fetch-site", "same-origin"), ("host", "node1")])));
    }

    #[test]
    fn a_page_of_any_other_server_is_not() {
        for (origin, host) in [
            ("http://evil", "node1:8787"),
            ("http://node1:8788", "node1:8787"),
            ("http://node1:8787.evil", "node1:8787"),
            ("http://node1.evil:8787", "node1:8787"),
            ("http://user@node1:8787", "node1:8787"),
            ("http://node1:8787@evil", "node1:8787"),
            ("null", "node1:8787"),
            ("", ""),
            ("http://", ""),
            ("ftp://node1:8787", "node1:8787"),
        ] {
            assert!(!same_origin_of(&headers(&[("origin", origin), ("host", host)])), "{origin} {host}");
        }
        for site in ["cross-site", "same-site", "none", "same-origin, cross-site"] {
            let pairs = [("sec-fetch-site", site), ("origin", "http://node1"), ("host", "node1")];
            assert!(!same_origin_of(&headers(&pairs)), "{site}");
        }
    }

    #[test]
    fn where_browsers_come_with_tls_only_no_page_without_it_is_of_this_server() {
        for (origin, is_same) in [("https://node1", true), ("http://node1", false), ("http://node1:443", false)] {
            assert_eq!(same_origin(&headers(&[("origin", origin), ("host", "node1")]), true), is_same, "{origin}");
        }
    }

    #[test]
    fn nothing_said_and_twice_said_prove_nothing() {
        assert!(!same_origin_of(&headers(&[("host", "node1")])));
        let twice = [("origin", "http://node1"), ("origin", "http://node1"), ("host", "node1")];
        assert!(!same_origin_of(&headers(&twice)));
    }
}
