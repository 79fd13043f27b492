//! The request target: which session is meant, and what its program is to see of it.
//!
//! The program gets the target byte for byte. So nothing is decoded here but to find out whether a program, however it
//! decodes, could take the target for one outside `/s/<id>/`: such a target is refused.

use http::{Uri, uri::PathAndQuery};

use super::refusal::Refusal;
use crate::{domain::SessionId, launcher::BasePath};

/// How often encoded dots and slashes are looked through: a program that decodes twice is wrong, and there are some.
const ENCODINGS: usize = 3;

/// A target below `/s/<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session that is meant.
    pub id: SessionId,
    whole: PathAndQuery,
    /// Where the part behind the session's prefix starts; none for `/s/<id>` without the slash.
    rest: Option<usize>,
}

impl Target {
    /// Reads a target. One that names no session is [`Refusal::NotFound`], as is a session that is not the user's.
    pub fn read(uri: &Uri) -> Result<Self, Refusal> {
        // `GET http://host/s/…` and `CONNECT host:port` ask for a forward proxy, and a second host beside `Host`.
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(Refusal::Target);
        }
        let whole = uri.path_and_query().ok_or(Refusal::Target)?.clone();
        let path = whole.path();
        if climbs(path) {
            return Err(Refusal::Target);
        }
        let named = path.strip_prefix("/s/").ok_or(Refusal::NotFound)?;
        let (id, below) = named.split_once('/').map_or((named, None), |(id, below)| (id, Some(below)));
        let id = id.parse().map_err(|_| Refusal::NotFound)?;
        Ok(Self { id, rest: below.map(|below| path.len() - below.len()), whole })
    }

    /// The whole target, as it came and as a hop carries it.
    pub fn as_str(&self) -> &str {
        self.whole.as_str()
    }

    /// The path below the session's prefix, without the query.
    pub fn below(&self) -> &str {
        self.rest.and_then(|rest| self.whole.path().get(rest..)).unwrap_or_default()
    }

    /// Where a browser is sent that left out the slash behind the id: the program's relative links need it.
    pub fn with_slash(&self) -> Option<String> {
        let query = self.whole.query().map(|query| format!("?{query}")).unwrap_or_default();
        self.rest.is_none().then(|| format!("{}{query}", self.id.base_path()))
    }

    /// The whole target for a request of one's own.
    pub fn to_uri(&self) -> Uri {
        Uri::from(self.whole.clone())
    }

    /// What the program is asked for.
    pub fn for_program(&self, base_path: BasePath) -> Result<Uri, Refusal> {
        match (base_path, self.rest) {
            (BasePath::Kept, _) => Ok(self.to_uri()),
            (BasePath::Stripped, rest) => {
                let rest = &self.whole.as_str()[rest.unwrap_or(self.whole.as_str().len())..];
                let target = format!("/{rest}");
                // `//host/…` is a host to whoever reads the target as a relative URL.
                if separator(target.as_bytes().get(1..).unwrap_or_default()) {
                    return Err(Refusal::Target);
                }
                target.parse().map_err(|_| Refusal::Target)
            }
        }
    }
}

/// Whether a path begins with what some program takes for a slash.
fn separator(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    for _ in 0..ENCODINGS {
        path = decode(&path);
    }
    matches!(path.first(), Some(b'/' | b'\\'))
}

/// Whether a path, read in any way that a program may read it in, has a segment that leads upwards, or holds what no
/// path should.
fn climbs(path: &str) -> bool {
    // A browser makes a slash of it, a program may.
    if path.contains('\\') {
        return true;
    }
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=ENCODINGS {
        let upwards = bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
            // `..;x=y` is `..` to programs that cut path parameters off, `.%09.` to those that drop white space.
            let named = segment.split(|byte| matches!(byte, b';' | b'?' | b'#')).next().unwrap_or_default();
            named.iter().filter(|byte| **byte > b' ').eq(b"..")
        });
        if upwards || bytes.contains(&0) {
            return true;
        }
        bytes = decode(&bytes);
    }
    false
}

/// One turn of percent-decoding.
fn decode(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<Target, Refusal> {
        Target::read(&target.parse().unwrap_or_else(|error| panic!("{target}: {error}")))
    }

    #[test]
    fn what_lies_below_a_session_is_passed_on_byte_for_byte() {
        for rest in [
            "",
            "lab",
            "lab/tree/a%2Fb.ipynb",
            "files/100%25.txt",
            "files/%E2%98%83;v=1/a+b",
            "a/./b",
            "a/...//b",
            "a..b/..c",
            "x%5Cy",
            "api?path=../../etc&x=%2e%2e#",
        ] {
            let target = read(&format!("/s/0000000a/{rest}")).unwrap_or_else(|refusal| panic!("{rest}: {refusal:?}"));
            let sent = rest.trim_end_matches('#');
            assert_eq!(target.id.as_str(), "0000000a");
            assert_eq!(target.for_program(BasePath::Kept).expect("kept"), format!("/s/0000000a/{sent}").as_str());
            assert_eq!(target.for_program(BasePath::Stripped).expect("stripped"), format!("/{sent}").as_str());
            assert_eq!(target.with_slash(), None);
        }
    }

    #[test]
    fn no_reading_of_a_target_leads_out_of_the_session() {
        for rest in [
            "..",
            "../",
            "../0000000b/",
            "a/../../x",
            "%2e%2e/x",
            "%2E%2e%2Fx",
            ".%2e/x",
            "..%2f",
            "a%2f..%2f..%2fx",
            "..;x=y/z",
            "..;/z",
            "%2e%2e;x/z",
            "..%3bx=y/z",
            "%2e%2e%3b/z",
            "..%5cx",
            "a%5c%2e%2e%5cx",
            "%252e%252e/x",
            "..%252fx",
            "%25252e%25252e/x",
            "..%3fx/z",
            "..%23/z",
            "..%20/x",
            ".%09./x",
            ".%0a%2e%2fx",
            "a%00",
            "..%00/x",
        ] {
            let target = format!("/s/0000000a/{rest}");
            assert_eq!(read(&target), Err(Refusal::Target), "{target}");
        }
        let backslash: Uri = match r"/s/0000000a/..\x".parse() {
            Ok(uri) => uri,
            Err(_) => return,
        };
        assert_eq!(Target::read(&backslash), Err(Refusal::Target));
    }

    #[test]
    fn another_host_in_the_target_is_refused() {
        for target in ["http://localhost/s/0000000a/", "https://evil.example/s/0000000a/", "localhost:80"] {
            assert_eq!(read(target), Err(Refusal::Target), "{target}");
        }
        assert_eq!(read("//evil.example/s/0000000a/"), Err(Refusal::NotFound));
    }

    #[test]
    fn a_stripped_target_does_not_become_a_host() {
        for rest in ["/evil.example/", "%2Fevil.example/", "%5cevil.example", "%252fevil.example/"] {
            let target = read(&format!("/s/0000000a/{rest}")).expect("below the session");
            assert_eq!(target.for_program(BasePath::Stripped), Err(Refusal::Target), "{rest}");
            assert!(target.for_program(BasePath::Kept).is_ok(), "below its prefix it is a path");
        }
    }

    #[test]
    fn only_an_id_names_a_session() {
        for target in [
            "/",
            "/s",
            "/s/",
            "/S/0000000a/",
            "/s//0000000a/",
            "/s/0000000/",
            "/s/0000000a0/",
            "/s/0000000A/",
            "/s/%30000000a/",
            "/s/0000000a%2f",
            "/s/0000000a@evil.example/",
            "/s/0000000a:80/",
            "/s/0000000a;x/",
            "/x/s/0000000a/",
            "*",
        ] {
            let refusal = read(target).expect_err(target);
            assert!(matches!(refusal, Refusal::NotFound | Refusal::Target), "{target}: {refusal:?}");
        }
    }

    #[test]
    fn a_missing_slash_is_a_redirect_within_the_session() {
        assert_eq!(read("/s/0000000a").expect("a session").with_slash().as_deref(), Some("/s/0000000a/"));
        assert_eq!(read("/s/0000000a?x=//y").expect("a session").with_slash().as_deref(), Some("/s/0000000a/?x=//y"));
    }
}
