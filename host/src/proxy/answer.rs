//! The headers of a program's answer on its way to the browser. A program speaks for its own prefix, not for the site.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, LOCATION, SET_COOKIE},
};

use super::{cookies, headers::remove_connection_only};
use crate::{domain::SessionId, launcher::BasePath, wire::names};

/// What holds for the whole site: signing the user out, forcing TLS, moving to another server, having errors sent
/// elsewhere.
const WHOLE_SITE: [&str; 6] =
    ["alt-svc", "clear-site-data", "nel", "report-to", "reporting-endpoints", "strict-transport-security"];

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Confines an answer's headers to the session. `base_path` is the program's, where the program is on this node.
pub fn confine(
    headers: &mut HeaderMap,
    id: SessionId,
    base_path: Option<BasePath>,
    method: &Method,
    status: StatusCode,
) {
    // The length that a HEAD or a 304 states is not its body's, which is empty.
    let stated =
        headers.get(CONTENT_LENGTH).filter(|_| method == Method::HEAD || status == StatusCode::NOT_MODIFIED).cloned();
    remove_connection_only(headers);
    names::remove_own_headers(headers);
    for name in WHOLE_SITE {
        headers.remove(name);
    }
    let base = id.base_path();
    if headers.get_all(SERVICE_WORKER_ALLOWED).iter().any(|scope| !scope.as_bytes().starts_with(base.as_bytes())) {
        headers.remove(SERVICE_WORKER_ALLOWED);
    }
    let cookies: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookies::within(cookie, id)).collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    if base_path == Some(BasePath::Stripped)
        && let Some(location) = headers.get(LOCATION).and_then(|location| below(location, &base))
    {
        headers.insert(LOCATION, location);
    }
    if let Some(stated) = stated {
        headers.insert(CONTENT_LENGTH, stated);
    }
}

/// A `Location` that is an absolute path, below the prefix that its program does not know of.
fn below(location: &HeaderValue, base: &str) -> Option<HeaderValue> {
    let path = location.as_bytes().strip_prefix(b"/")?;
    if matches!(path.first(), Some(b'/' | b'\\')) || location.as_bytes().starts_with(base.as_bytes()) {
        return None;
    }
    HeaderValue::from_bytes(&[base.as_bytes(), path].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confined(pairs: &[(&'static str, &'static str)], base_path: BasePath, method: &Method) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let id = "0000000a".parse().expect("an id");
        confine(&mut headers, id, Some(base_path), method, StatusCode::OK);
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().expect("text").to_owned());
        headers.iter().map(text).collect()
    }

    #[test]
    fn a_program_does_not_speak_for_the_site() {
        let left = confined(
            &[
                ("clear-site-data", "\"cookies\""),
                ("alt-svc", "h2=\":4444\""),
                ("strict-transport-security", "max-age=1"),
                ("nel", "{}"),
                ("service-worker-allowed", "/"),
                ("evenkeel-hop", "misdirected"),
                ("connection", "keep-alive, x-secret"),
                ("x-secret", "1"),
                ("set-cookie", "evenkeel=forged"),
                ("set-cookie", "a=1; Path=/"),
                ("content-type", "text/plain"),
            ],
            BasePath::Kept,
            &Method::GET,
        );
        let expected = [("content-type", "text/plain"), ("set-cookie", "a=1; Path=/s/0000000a/")];
        assert_eq!(left, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_service_worker_keeps_to_its_prefix() {
        let own = [("service-worker-allowed", "/s/0000000a/")];
        assert_eq!(confined(&own, BasePath::Kept, &Method::GET).len(), 1);
        let other = [("service-worker-allowed", "/s/0000000b/")];
        assert_eq!(confined(&other, BasePath::Kept, &Method::GET).len(), 0);
    }

    #[test]
    fn a_path_is_put_below_the_prefix_that_a_stripped_program_does_not_know() {
        for (sent, expected) in [
            ("/login?x=/y", "/s/0000000a/login?x=/y"),
            ("/", "/s/0000000a/"),
            ("/s/0000000a/lab", "/s/0000000a/lab"),
            ("./login", "./login"),
            ("//other.example/", "//other.example/"),
            ("https://other.example/", "https://other.example/"),
        ] {
            let stripped = confined(&[("location", sent)], BasePath::Stripped, &Method::GET);
            assert_eq!(stripped, [("location".to_owned(), expected.to_owned())], "{sent}");
            let kept = confined(&[("location", sent)], BasePath::Kept, &Method::GET);
            assert_eq!(kept, [("location".to_owned(), sent.to_owned())], "{sent}");
        }
    }

    #[test]
    fn the_length_is_the_bodys_but_for_a_head() {
        let length = [("content-length", "17")];
        assert_eq!(confined(&length, BasePath::Kept, &Method::GET), []);
        assert_eq!(confined(&length, BasePath::Kept, &Method::HEAD).len(), 1);
    }
}
