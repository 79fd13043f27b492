//! Request targets: whatever form one comes in, what is answered is a path of this server. And where a request's body
//! ends: in one way only.

use http::{HeaderMap, Request, Uri, Version, header, uri::Authority};

use crate::web::Problem;

/// Makes the target a path and query, or says why it is none. One form names a server (`http://host/path`): it must be the
/// server that `Host` names, since everything that follows goes by `Host`.
pub(super) fn settle<B>(request: &mut Request<B>) -> Result<(), Problem> {
    if !is_plainly_framed(request.headers()) {
        return Err(Problem::unreadable("a body is sent with a Content-Length, or chunked and nothing else"));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| Problem::unreadable("the Host header cannot be read"))?),
        (None, _) if request.version() < Version::HTTP_11 => None,
        _ => return Err(Problem::unreadable("a request must have one Host header")),
    };
    if host.is_some_and(|host| host.parse::<Authority>().is_err()) {
        return Err(Problem::unreadable("the Host header names no host"));
    }
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_web || !host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str())) {
            return Err(Problem::unreadable("the request target names another server than the Host header"));
        }
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if !target.starts_with('/') || target.starts_with("//") || target.starts_with("/\\") {
        return Err(Problem::unreadable("the request target must be a path that begins with one slash"));
    }
    if uri.authority().is_some() {
        let path: Uri = target.parse().map_err(|_| Problem::unreadable("the request target cannot be read"))?;
        *request.uri_mut() = path;
    }
    Ok(())
}

/// Whether nobody on the way can have read the body's end otherwise. Another coding than chunks would be lost here, since
/// what is passed on is framed anew.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(header::CONTENT_LENGTH)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(target: &str, hosts: &[&str]) -> Option<String> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        settle(&mut request).ok().map(|()| request.uri().to_string())
    }

    #[test]
    fn a_path_stays_a_path() {
        assert_eq!(settled("/s/7k3n9v2q/lab?x=//y", &["node1:8787"]).as_deref(), Some("/s/7k3n9v2q/lab?x=//y"));
    }

    #[test]
    fn a_target_with_the_servers_own_name_becomes_its_path() {
        assert_eq!(settled("http://Node1:8787/a?b", &["node1:8787"]).as_deref(), Some("/a?b"));
        assert_eq!(settled("http://node1:8787", &["node1:8787"]).as_deref(), Some("/"));
    }

    #[test]
    fn a_target_that_names_another_server_is_refused() {
        for target in [
            "http://evil/a",
            "http://node1:8787.evil/a",
            "http://user@node1:8787/a",
            "ftp://node1:8787/a",
            "node1:8787",
            "//evil/a",
            "*",
        ] {
            assert_eq!(settled(target, &["node1:8787"]), None, "{target}");
        }
    }

    #[test]
    fn a_body_ends_in_one_way() {
        let framed = |headers: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().uri("/").header(header::HOST, "a");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            settle(&mut request.body(()).unwrap()).is_ok()
        };
        assert!(framed(&[("content-length", "3")]) && framed(&[("transfer-encoding", "Chunked")]));
        assert!(!framed(&[("transfer-encoding", "gzip, chunked")]));
        assert!(!framed(&[("transfer-encoding", "chunked, chunked")]));
        assert!(!framed(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
        assert!(!framed(&[("transfer-encoding", "chunked"), ("content-length", "3")]));
    }

    #[test]
    fn there_must_be_one_host() {
        assert_eq!(settled("/", &[]), None);
        assert_eq!(settled("/", &["a", "a"]), None);
        assert_eq!(settled("/", &["a/b"]), None);
        assert_eq!(settled("/", &["a b"]), None);
    }
}
