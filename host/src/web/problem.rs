//! Problem documents (RFC 9457): what every refused REST call is answered with.
//!
//! The policy, in one place: what the caller got wrong is a 4xx that says what to change; what the caller cannot help is a
//! 503 with `Retry-After`; what the program got wrong is a 500 that is logged here, once, and tells the caller nothing.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::RETRY_AFTER;
use crate::{
    domain::limit::{Limit, LimitReached, Quantity, WrongChoice},
    launcher::LaunchError,
    sessions::SessionError,
    store::StoreError,
};

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Which problem, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:problem-type:evenkeel:unknown-kind")]
    kind: String,
    /// Which problem, for people.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What was wrong this time and what to do about it.
    detail: String,
    /// The fields of the request's body that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The limit that is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    limit: Option<Box<LimitView>>,
    #[serde(skip)]
    retry: bool,
}

/// A limit that one session more would exceed. Sessions are counted, processors may have a fraction, memory is in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Limit)]
pub(crate) struct LimitView {
    /// Its name in the file `profiles`.
    #[schema(example = "session-limit")]
    pub name: &'static str,
    /// The section that it is set in.
    #[schema(example = "[@staff]")]
    pub section: String,
    /// The most that there may be.
    pub most: f64,
    /// What counts to it now.
    pub present: f64,
    /// What the session would add.
    pub asked: f64,
}

impl LimitView {
    fn new(reached: &LimitReached) -> Self {
        let Limit { setting, section, quantity, most, .. } = &reached.limit;
        #[expect(clippy::cast_precision_loss, reason = "JSON's numbers")]
        let amount = |amount: u64| match quantity {
            Quantity::Cpus => amount as f64 / 1000.0,
            Quantity::Sessions | Quantity::Memory => amount as f64,
        };
        Self {
            name: setting,
            section: section.clone(),
            most: amount(*most),
            present: amount(reached.present),
            asked: amount(reached.asked),
        }
    }
}

/// One wrong field of a request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where: a JSON pointer (RFC 6901).
    #[schema(example = "/kind")]
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, slug: &str, title: &'static str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:problem-type:evenkeel:{slug}");
        Self { kind, title, status, detail: detail.into(), errors: Vec::new(), limit: None, retry: false }
    }

    /// Nobody is signed in.
    pub(crate) fn sign_in() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "sign-in",
            "Not signed in",
            "sign in at /sign-in, or send the token of the data directory as Authorization: Bearer",
        )
    }

    /// Whoever is signed in may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// It came without TLS to a port that takes it.
    pub(crate) fn wants_tls() -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "tls",
            "Sent without TLS",
            "this port takes TLS: use an address that begins with https://",
        )
    }

    /// A page of another site has sent it.
    pub(crate) fn cross_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross-origin",
            "Sent from another site",
            "a change must come from a page of this server; programs send Authorization: Bearer instead of a cookie",
        )
    }

    /// There is no such thing.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "missing", "Not found", detail)
    }

    /// The thing's state does not allow it.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Not possible now", detail)
    }

    /// The request cannot be read.
    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", "Request not understood", detail)
    }

    /// Fields of the body are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail =
            errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect::<Vec<_>>().join("; ");
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-fields", "Fields are wrong", detail);
        Self { errors, ..problem }
    }

    /// The body is none that the endpoint takes.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Too many at once.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too busy", detail);
        Self { retry: true, ..problem }
    }

    /// This node is no member of its cluster.
    pub(crate) fn out_of_cluster(why: impl Into<String>) -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "out-of-cluster", "This node stays out of its cluster", why);
        Self { retry: true, ..problem }
    }

    /// A limit is reached. Where its user can do something, that is a conflict; where it is for others to end theirs, it may
    /// be tried again.
    fn limit(reached: &LimitReached) -> Self {
        let detail = reached.to_string();
        let field = match reached.limit.quantity {
            Quantity::Sessions => None,
            Quantity::Cpus => Some("/cpus"),
            Quantity::Memory => Some("/memory"),
        };
        let is_too_much = reached.is_too_much_alone();
        let errors = field.filter(|_| is_too_much).map(|field| {
            let (field, detail) = (field.to_owned(), detail.clone());
            FieldError { field, detail }
        });
        let (status, retry) = match (&errors, is_too_much || reached.is_own()) {
            (Some(_), _) => (StatusCode::UNPROCESSABLE_ENTITY, false),
            (None, true) => (StatusCode::CONFLICT, false),
            (None, false) => (StatusCode::SERVICE_UNAVAILABLE, true),
        };
        let problem = Self::new(status, "limit", "Limit reached", detail);
        Self { errors: errors.into_iter().collect(), limit: Some(Box::new(LimitView::new(reached))), retry, ..problem }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Which problem, in a few words.
    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    /// What was wrong and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Status and headers, for an answer of any shape.
    pub(crate) fn mark(&self, response: &mut Response) {
        *response.status_mut() = self.status;
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            // What the database said may name files and hosts: it goes to the log, not to the caller.
            StoreError::Database { .. } | StoreError::Unusable(_) => {
                tracing::warn!(%error, "the store did not answer a request");
                let problem = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store-away",
                    "The registry does not answer",
                    "the registry of sessions does not answer; running sessions go on, try again shortly",
                );
                Self { retry: true, ..problem }
            }
            StoreError::Corrupt { .. } => {
                tracing::error!(%error, "the store holds what it should not");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "store-corrupt",
                    "The registry is damaged",
                    "the registry holds an entry that cannot be read; the server's log names it",
                )
            }
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let detail = error.to_string();
        match error {
            SessionError::UnknownKind { .. } => {
                let errors = vec![FieldError { field: "/kind".to_owned(), detail: detail.clone() }];
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-kind", "No such kind", detail);
                Self { errors, ..problem }
            }
            SessionError::NoNode(_) => {
                let problem =
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-node", "No node can take the session", detail);
                Self { retry: true, ..problem }
            }
            SessionError::Limit(reached) => Self::limit(&reached),
            SessionError::Resources(WrongChoice { field, problem }) => {
                Self::invalid(vec![FieldError { field: format!("/{field}"), detail: problem }])
            }
            SessionError::Accounts(error) => {
                tracing::warn!(%error, "a session is not started");
                let title = "The name service does not answer";
                let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "accounts-away", title, detail);
                Self { retry: true, ..problem }
            }
            SessionError::Declined(_) => {
                Self::new(StatusCode::FORBIDDEN, "declined", "Declined by the balancer", detail)
            }
            SessionError::Job(_) => {
                let errors = vec![FieldError { field: "/kind".to_owned(), detail }];
                Self::invalid(errors)
            }
            SessionError::Missing(_) => Self::missing(detail),
            SessionError::State { .. } => Self::conflict(detail),
            SessionError::Busy => Self::busy(detail),
            SessionError::Peer { .. } => {
                let problem = Self::new(StatusCode::BAD_GATEWAY, "node-away", "The node does not answer", detail);
                Self { retry: true, ..problem }
            }
            SessionError::Launcher(LaunchError::Unknown(_) | LaunchError::NoLog(_)) => Self::missing(detail),
            SessionError::Launcher(_) => {
                tracing::error!(error = detail, "the launcher failed a request");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "launcher", "The node failed", detail)
            }
            SessionError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = axum::Json(&self).into_response();
        self.mark(&mut response);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::Over;

    #[test]
    fn an_unknown_kind_names_the_field_and_what_there_is() {
        let problem = Problem::from(SessionError::UnknownKind {
            kind: "jupiter".to_owned(),
            offered: vec!["echo".to_owned(), "jupyterlab".to_owned()],
        });
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.errors[0].field, "/kind");
        assert_eq!(problem.errors[0].detail, "there is no kind jupiter; there are: echo, jupyterlab");
    }

    #[test]
    fn a_limit_says_by_its_status_who_can_do_something() {
        let reached = |over, quantity, present, asked| {
            let limit = Limit { setting: "max-it", section: "[@lab]".to_owned(), over, quantity, most: 4000 };
            Problem::from(SessionError::Limit(Box::new(LimitReached { limit, user: "ada".to_owned(), present, asked })))
        };
        let own = reached(Over::User, Quantity::Cpus, 3000, 1500);
        let document = serde_json::to_value(&own).unwrap();
        assert_eq!(document["type"], "urn:problem-type:evenkeel:limit");
        let limit = serde_json::json!(
            { "name": "max-it", "section": "[@lab]", "most": 4.0, "present": 3.0, "asked": 1.5 }
        );
        assert_eq!((own.status, &document["limit"]), (StatusCode::CONFLICT, &limit));
        let alone = reached(Over::User, Quantity::Memory, 0, 5000);
        assert_eq!((alone.status, alone.errors[0].field.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "/memory"));
        let none = reached(Over::User, Quantity::Sessions, 0, 5000);
        assert_eq!((none.status, none.errors.len()), (StatusCode::CONFLICT, 0));
        let others = reached(Over::Group("lab".to_owned()), Quantity::Sessions, 4000, 1).into_response();
        assert_eq!(others.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(others.headers()[header::RETRY_AFTER], "5");
    }

    #[test]
    fn what_the_database_said_does_not_reach_the_caller() {
        let error = StoreError::Database { operation: "nodes", message: "secret.db: no such table".to_owned() };
        let problem = Problem::from(error);
        assert!(!serde_json::to_string(&problem).unwrap().contains("secret"));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
