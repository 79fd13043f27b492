//! Which site a request comes from: other sites' pages may link to a session, and do no more.

use http::{
    HeaderMap, Method,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use super::refusal::Refusal;

/// The request's own `host[:port]`: exactly one `Host`.
pub fn host(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else { return Err(Refusal::Host) };
    let host = host.to_str().map_err(|_| Refusal::Host)?;
    parts(host).map(|_| host).ok_or(Refusal::Host)
}

/// Refuses upgrades, and requests that may change something, which another site's page makes. `secure` is whether the
/// browser's connection is TLS as far as this server knows: where it is not, TLS may end at a proxy before this server,
/// so an origin of either scheme is the same site.
pub fn check(method: &Method, headers: &HeaderMap, upgrade: bool, secure: bool) -> Result<(), Refusal> {
    if !upgrade && (method == Method::GET || method == Method::HEAD) {
        return Ok(());
    }
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let site = sites.next().map(http::HeaderValue::as_bytes);
    if sites.next().is_some() || !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Err(Refusal::CrossOrigin);
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        // Browsers always say it with these requests; programs do not, and carry no other site's cookies.
        (None, _) => return Ok(()),
        (Some(origin), None) => origin.to_str().map_err(|_| Refusal::CrossOrigin)?,
        (Some(_), Some(_)) => return Err(Refusal::CrossOrigin),
    };
    // A form of a page with `Referrer-Policy: no-referrer`, if the browser says that it is the same site's.
    if origin == "null" && !upgrade && site == Some(b"same-origin") {
        return Ok(());
    }
    if same(origin, host(headers)?, secure) { Ok(()) } else { Err(Refusal::CrossOrigin) }
}

/// Whether an origin is the site of a `Host`. Whole names and ports are compared, never prefixes.
pub fn same(origin: &str, host: &str, secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "https" => 443,
        "http" if !secure => 80,
        _ => return false,
    };
    match (parts(authority), parts(host)) {
        (Some((name, port)), Some((own_name, own_port))) => {
            name.eq_ignore_ascii_case(&own_name) && port.unwrap_or(default) == own_port.unwrap_or(default)
        }
        _ => false,
    }
}

/// Name and port, where the text is these and nothing else.
fn parts(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    if name.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    match authority.as_str().strip_prefix(name)? {
        "" => Some((name.to_owned(), None)),
        port => {
            let port = port.strip_prefix(':')?;
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            Some((name.to_owned(), Some(port.parse().ok().filter(|_| digits)?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn an_origin_is_its_scheme_name_and_port() {
        for (origin, host, secure, expected) in [
            ("http://localhost:8787", "localhost:8787", false, true),
            ("http://LocalHost:8787", "localhost:8787", false, true),
            ("http://example.org", "example.org", false, true),
            ("http://example.org", "example.org:80", false, true),
            ("https://example.org", "example.org", false, true),
            ("https://example.org", "example.org:443", true, true),
            ("http://[::1]:8787", "[::1]:8787", false, true),
            ("http://example.org", "example.org", true, false),
            ("https://example.org", "example.org:80", false, false),
            ("http://localhost:8788", "localhost:8787", false, false),
            ("http://localhost", "localhost:8787", false, false),
            ("http://127.0.0.1:8787", "localhost:8787", false, false),
            ("http://example.org.evil.example", "example.org", false, false),
            ("http://evilexample.org", "example.org", false, false),
            ("http://example.org@evil.example", "example.org", false, false),
            ("http://evil.example/example.org", "example.org", false, false),
            ("http://example.org:80@evil.example", "example.org:80", false, false),
            ("http://example.org:", "example.org", false, false),
            ("http://example.org:+80", "example.org", false, false),
            ("http://example.org:99999", "example.org:99999", false, false),
            ("//example.org", "example.org", false, false),
            ("example.org", "example.org", false, false),
            ("file://", "example.org", false, false),
            ("null", "null", false, false),
            ("", "", false, false),
        ] {
            assert_eq!(same(origin, host, secure), expected, "{origin} at {host}, TLS {secure}");
        }
    }

    #[test]
    fn links_may_cross_sites_and_changes_and_upgrades_may_not() {
        let cross = headers(&[("host", "a.example"), ("origin", "http://b.example")]);
        assert_eq!(check(&Method::GET, &cross, false, false), Ok(()));
        assert_eq!(check(&Method::HEAD, &cross, false, false), Ok(()));
        assert_eq!(check(&Method::GET, &cross, true, false), Err(Refusal::CrossOrigin));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            assert_eq!(check(&method, &cross, false, false), Err(Refusal::CrossOrigin), "{method}");
        }
        let own = headers(&[("host", "a.example"), ("origin", "http://a.example")]);
        assert_eq!(check(&Method::POST, &own, false, false), Ok(()));
        assert_eq!(check(&Method::GET, &own, true, false), Ok(()));
        assert_eq!(check(&Method::POST, &headers(&[("host", "a.example")]), false, false), Ok(()), "a program");
    }

    #[test]
    fn what_the_browser_says_of_the_site_counts_too() {
        for site in ["cross-site", "same-site", "", "same-origin, cross-site"] {
            let said = headers(&[("host", "a.example"), ("sec-fetch-site", site)]);
            assert_eq!(check(&Method::POST, &said, false, false), Err(Refusal::CrossOrigin), "{site}");
            assert_eq!(check(&Method::GET, &said, true, false), Err(Refusal::CrossOrigin), "{site}");
        }
        let twice =
            headers(&[("host", "a.example"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]);
        assert_eq!(check(&Method::POST, &twice, false, false), Err(Refusal::CrossOrigin));
    }

    #[test]
    fn an_opaque_or_second_origin_is_another_site() {
        let opaque = headers(&[("host", "a.example"), ("origin", "null")]);
        assert_eq!(check(&Method::POST, &opaque, false, false), Err(Refusal::CrossOrigin));
        let own = headers(&[("host", "a.example"), ("origin", "null"), ("sec-fetch-site", "same-origin")]);
        assert_eq!(check(&Method::POST, &own, false, false), Ok(()), "no referrer, same site");
        assert_eq!(check(&Method::GET, &own, true, false), Err(Refusal::CrossOrigin), "a sandboxed frame's web socket");
        let two = headers(&[("host", "a.example"), ("origin", "http://a.example"), ("origin", "http://b.example")]);
        assert_eq!(check(&Method::GET, &two, true, false), Err(Refusal::CrossOrigin));
    }

    #[test]
    fn one_plain_host_is_needed() {
        assert_eq!(host(&headers(&[("host", "a.example:80")])), Ok("a.example:80"));
        for pairs in [
            &[][..],
            &[("host", "")],
            &[("host", "a.example"), ("host", "b.example")],
            &[("host", "user@a.example")],
            &[("host", "a.example/x")],
            &[("host", "a b")],
            &[("host", "a.example:x")],
        ] {
            assert_eq!(host(&headers(pairs)), Err(Refusal::Host), "{pairs:?}");
        }
    }
}
