//! Reading JSON bodies and queries by hand, so that every wrong field is named and all at once.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};

/// The longest body of a REST call.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// The longest body that asks for a session: it may hold a script.
pub(super) const MOST_BYTES_OF_A_JOB: usize = 1024 * 1024;

/// The fields of a JSON object.
#[derive(Debug)]
pub(super) struct Fields {
    object: Map<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| too_long(&rejection))?;
        Self::parse(&bytes)
    }
}

/// The fields of a JSON object, or none where there is no body.
#[derive(Debug)]
pub(super) struct MaybeFields(pub(super) Option<Fields>);

impl<S: Send + Sync> FromRequest<S> for MaybeFields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| too_long(&rejection))?;
        match bytes.is_empty() {
            true => Ok(Self(None)),
            false if is_json => Fields::parse(&bytes).map(Some).map(Self),
            false => Err(not_json()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

fn not_json() -> Problem {
    Problem::unreadable("the body must be sent as Content-Type: application/json")
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

fn too_long(rejection: &BytesRejection) -> Problem {
    let status = rejection.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::unreadable(format!(
            "the body is longer than {MOST_BYTES} bytes, or than {MOST_BYTES_OF_A_JOB} with a job"
        ))
        .with_status(status)
    } else {
        Problem::unreadable("the body ended early")
    }
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let value = serde_json::from_slice(bytes).map_err(|error| {
            // The parser's message quotes nothing of the body but single characters.
            Problem::unreadable(format!("the body is not JSON: {error}"))
        })?;
        match value {
            Value::Object(object) => Ok(Self { object, known: Vec::new(), errors: Vec::new() }),
            _ => {
                Err(Problem::invalid(vec![FieldError { field: String::new(), detail: "must be an object".to_owned() }]))
            }
        }
    }

    /// Takes a field out; `read` says what it must be where it is something else. Absent and null are the same.
    pub(super) fn take<T>(&mut self, name: &'static str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        self.known.push(name);
        match self.object.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => match read(value) {
                Ok(value) => Some(value),
                Err(detail) => {
                    self.errors.push(FieldError { field: format!("/{name}"), detail });
                    None
                }
            },
        }
    }

    /// As [`Self::take`], and absence is an error.
    pub(super) fn require<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> T {
        let errors = self.errors.len();
        self.take(name, read).unwrap_or_else(|| {
            if self.errors.len() == errors {
                self.errors.push(FieldError { field: format!("/{name}"), detail: "is missing".to_owned() });
            }
            T::default()
        })
    }

    /// A field is wrong beside others.
    pub(super) fn wrong(&mut self, name: &str, detail: String) {
        self.errors.push(FieldError { field: format!("/{name}"), detail });
    }

    /// All that was wrong, fields that there are none of included.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        const MOST_NAMED: usize = 16;
        for name in self.object.keys().take(MOST_NAMED) {
            let near = self.known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let hint = match near {
                Some(near) if strsim::jaro(near, name) > 0.7 => format!("; did you mean {near}?"),
                _ => format!("; there are: {}", self.known.join(", ")),
            };
            let field = format!("/{}", name.chars().take(64).collect::<String>().replace('~', "~0").replace('/', "~1"));
            self.errors.push(FieldError { field, detail: format!("there is no such field{hint}") });
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// Text for people: not empty, bounded, without control characters.
pub(super) fn text(value: Value, most_chars: usize) -> Result<String, String> {
    let Value::String(text) = value else { return Err("must be a string".to_owned()) };
    check_text(&text, most_chars)
}

/// As [`text`], of a form's field.
pub(super) fn check_text(text: &str, most_chars: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if text.chars().count() > most_chars {
        Err(format!("must be at most {most_chars} characters"))
    } else if text.chars().any(char::is_control) {
        Err("must not contain control characters".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// `?limit=&after=` of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// At most this many items.
    pub(super) limit: u32,
    /// Continue behind this one.
    pub(super) after: Option<String>,
    /// The other parameters.
    others: Vec<(String, String)>,
}

impl Paging {
    const DEFAULT: u32 = 100;
    const MOST: u32 = 1000;

    /// The cursor, read as whatever the list goes by.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        self.after.as_deref().map(|text| parse("after", text, "the next of the page before")).transpose()
    }

    /// Another parameter.
    pub(super) fn other<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        self.others.iter().find(|(key, _)| key == name).map(|(_, text)| parse(name, text, what)).transpose()
    }
}

fn parse<T: std::str::FromStr>(name: &str, text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::unreadable(format!("the parameter {name} must be {what}")))
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(mut others) =
            axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state)
                .await
                .map_err(|_| Problem::unreadable("the query cannot be read"))?;
        let mut take = |name| others.iter().position(|(key, _)| key == name).map(|at| others.swap_remove(at).1);
        let after = take("after");
        let limit = match take("limit").map(|text| text.parse()) {
            None => Self::DEFAULT,
            Some(Ok(limit)) if (1..=Self::MOST).contains(&limit) => limit,
            Some(_) => {
                let most = Self::MOST;
                return Err(Problem::unreadable(format!("the parameter limit must be a number from 1 to {most}")));
            }
        };
        Ok(Self { limit, after, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, Option<String>), Problem> {
        let mut fields = Fields::parse(body.as_bytes())?;
        let read = (fields.require("kind", |value| text(value, 8)), fields.take("name", |value| text(value, 8)));
        fields.finish().map(|()| read)
    }

    fn errors(body: &str) -> Vec<(String, String)> {
        let problem = serde_json::to_value(read(body).unwrap_err()).unwrap();
        let error =
            |error: &Value| (error["field"].as_str().unwrap().to_owned(), error["detail"].as_str().unwrap().to_owned());
        problem["errors"].as_array().unwrap().iter().map(error).collect()
    }

    fn named(field: &str, detail: &str) -> (String, String) {
        (field.to_owned(), detail.to_owned())
    }

    #[test]
    fn a_good_body_is_read() {
        assert_eq!(read(r#"{"kind": " echo ", "name": null}"#).unwrap(), ("echo".to_owned(), None));
    }

    #[test]
    fn every_wrong_field_is_named_by_its_pointer() {
        assert_eq!(errors("{}"), [named("/kind", "is missing")]);
        assert_eq!(
            errors(r#"{"kind": 3, "name": "far too long", "nmae": 1, "a/b~": 1}"#),
            [
                named("/kind", "must be a string"),
                named("/name", "must be at most 8 characters"),
                named("/a~1b~0", "there is no such field; there are: kind, name"),
                named("/nmae", "there is no such field; did you mean name?"),
            ]
        );
        assert_eq!(errors(r#"{"kind": "a\u0007"}"#), [named("/kind", "must not contain control characters")]);
        assert_eq!(errors("[]"), [named("", "must be an object")]);
    }

    #[test]
    fn a_body_that_is_not_json_says_where_it_stops_being_so() {
        let problem = read("{\"kind\": }").unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        assert!(problem.detail().contains("line 1 column 10"), "{}", problem.detail());
        assert!(read(&"[".repeat(10_000)).is_err(), "nesting is bounded");
    }
}
