//! The headers of a request on its way to a program: what is the browser's and the program's passes, what is ours, the
//! connection's or somebody's claim about the sender does not.
//!
//! The order is what makes it safe: everything goes that is to go, first of all what `Connection` names, and only then
//! is ours set. So no header of a client takes one of ours away or doubles it.

use std::net::SocketAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, ORIGIN, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, REFERER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::cookies;
use crate::{
    domain::SessionId,
    launcher::{BasePath, Upstream},
    wire::names,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What belongs to one connection only (RFC 9110, 7.6.1), and framing, which is made anew from the body.
const CONNECTION_ONLY: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
];

/// Who somebody in between said that the sender is. This server is the first that programs may believe.
const CLAIMS: [&str; 12] = [
    "authorization",
    "client-ip",
    "forwarded",
    "remote-user",
    "true-client-ip",
    "x-client-ip",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-rstudio-username",
];

/// What a client cannot have removed by naming it in `Connection`: programs check them, and some skip the check where
/// they are absent.
fn is_protected(name: &HeaderName) -> bool {
    [HOST, ORIGIN, REFERER].contains(name) || name.as_str().starts_with("sec-")
}

/// Takes out what belongs to the connection it came over, by name and by `Connection`'s naming it.
pub fn remove_connection_only(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in named.iter().chain(&CONNECTION_ONLY) {
        headers.remove(name);
    }
}

/// The tokens of a list header.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// A browser's headers without what no program and no peer may see or believe.
pub fn from_browser(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    remove_connection_only(&mut headers);
    // Answered here: the server asks for the body when it is read.
    headers.remove(EXPECT);
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| is_unwanted(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
    cookies::keep_foreign(&mut headers);
    headers
}

fn is_unwanted(name: &HeaderName) -> bool {
    let plain = names::plain(name);
    let claims = names::is_own_header(name) || plain.starts_with("x-forwarded-") || CLAIMS.contains(&plain.as_str());
    // `content_length` and its like are one with the real header in programs that get headers as variables.
    let aliases = plain != name.as_str()
        && HeaderName::from_bytes(plain.as_bytes()).is_ok_and(|plain| {
            is_protected(&plain) || CONNECTION_ONLY.contains(&plain) || plain == COOKIE || plain == AUTHORIZATION
        });
    claims || aliases
}

/// Who the browser is, as this server or the forwarding peer saw it.
#[derive(Clone, Copy, Debug)]
pub struct Browser {
    /// Where it connects from.
    pub client: SocketAddr,
    /// Whether over TLS.
    pub secure: bool,
}

/// Sets what a program is told: where the request comes from, and what its kind wants to be sent.
pub fn for_program(headers: &mut HeaderMap, id: SessionId, browser: Browser, upstream: &Upstream) {
    let host = headers.get(HOST).cloned();
    let client = HeaderValue::from_str(&browser.client.ip().to_canonical().to_string());
    let forwarded = [
        ("x-forwarded-for", client.ok()),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", Some(HeaderValue::from_static(if browser.secure { "https" } else { "http" }))),
        (
            "x-forwarded-prefix",
            HeaderValue::from_str(id.base_path().trim_end_matches('/'))
                .ok()
                .filter(|_| upstream.base_path == BasePath::Stripped),
        ),
    ];
    for (name, value) in forwarded {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    let kinds: Vec<String> = upstream.headers.iter().map(|(name, _)| names::plain(name)).collect();
    let replaced: Vec<HeaderName> =
        headers.keys().filter(|name| kinds.contains(&names::plain(name))).cloned().collect();
    for name in replaced {
        headers.remove(name);
    }
    for (name, value) in &upstream.headers {
        headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{domain::Epoch, launcher::Address};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    fn program(headers: &[(&'static str, &'static str)], base_path: BasePath) -> Upstream {
        Upstream {
            epoch: Epoch::FIRST,
            address: Address::Unix(PathBuf::new()),
            base_path,
            headers: headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            uid: 0,
        }
    }

    #[test]
    fn what_connection_names_goes_but_for_what_programs_check() {
        let sent = from_browser(&headers(&[
            ("connection", "close, X-Debug, host"),
            ("connection", "Origin , sec-fetch-site,x-forwarded-for, cookie;"),
            ("host", "a.example"),
            ("origin", "http://a.example"),
            ("sec-fetch-site", "same-origin"),
            ("x-debug", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]));
        assert_eq!(names(&sent), ["accept", "host", "origin", "sec-fetch-site"]);
    }

    #[test]
    fn ours_is_set_whatever_connection_names() {
        let mut sent = from_browser(&headers(&[
            ("connection", "authorization, x-forwarded-for, x-forwarded-host"),
            ("host", "a.example"),
        ]));
        let client = "[::ffff:192.0.2.7]:4000".parse().expect("an address");
        let id = "0000000a".parse().expect("an id");
        let upstream = program(&[("authorization", "token 17")], BasePath::Stripped);
        for_program(&mut sent, id, Browser { client, secure: true }, &upstream);
        let expected = headers(&[
            ("host", "a.example"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/s/0000000a"),
            ("authorization", "token 17"),
        ]);
        assert_eq!(sent, expected);
    }

    #[test]
    fn claims_about_the_sender_go_under_every_alias() {
        let sent = from_browser(&headers(&[
            ("authorization", "Bearer secret"),
            ("x-forwarded-for", "10.0.0.1"),
            ("X_Forwarded_User", "root"),
            ("X.Forwarded.Host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("remote_user", "root"),
            ("X-RStudio-Username", "root"),
            ("x.rstudio_username", "root"),
            ("evenkeel_hop", "x"),
            ("content_length", "5"),
            ("transfer.encoding", "chunked"),
            ("sec_fetch_site", "same-origin"),
            ("x-custom_name", "stays"),
        ]));
        assert_eq!(names(&sent), ["x-custom_name"]);
    }

    #[test]
    fn a_kinds_header_replaces_the_clients_and_its_aliases() {
        let mut sent = headers(&[("x-user", "root"), ("x_user", "root"), ("x.user", "root"), ("accept", "*/*")]);
        let client = "192.0.2.7:4000".parse().expect("an address");
        let upstream = program(&[("x-user", "ada")], BasePath::Kept);
        for_program(&mut sent, "0000000a".parse().expect("an id"), Browser { client, secure: false }, &upstream);
        assert_eq!(names(&sent), ["accept", "x-forwarded-for", "x-forwarded-proto", "x-user"]);
        assert_eq!(sent.get_all("x-user").iter().collect::<Vec<_>>(), ["ada"]);
    }
}
