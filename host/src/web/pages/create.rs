//! `POST /sessions`: the New Session form.

use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::Response,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, Visitor, go_to};
use crate::{
    sessions::{NewSession, SessionError},
    web::{
        Problem, SessionControl,
        api::sessions::create::{LONGEST_NAME, cpus, memory},
        body::check_text,
        problem::FieldError,
    },
};

#[derive(Deserialize)]
pub(super) struct NewSessionForm {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    cpus: String,
    /// In MB, as in the files.
    #[serde(default)]
    memory: String,
    /// "Join session when ready".
    join: Option<String>,
}

pub(super) async fn create(
    Visitor(identity): Visitor,
    State(sessions): State<Arc<dyn SessionControl>>,
    form: Result<Form<NewSessionForm>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(form) = form.map_err(|_| Problem::unreadable("the form was not sent whole"))?;
    let checked = |field: &str, text: &str, most| {
        let wrong = |detail| Problem::invalid(vec![FieldError { field: field.to_owned(), detail }]);
        check_text(text, most).map_err(wrong)
    };
    let kind = checked("kind", &form.kind, 64)?;
    let name = match form.name.trim() {
        "" => None,
        name => Some(checked("name", name, LONGEST_NAME)?),
    };
    let profile = match form.profile.trim() {
        "" => None,
        profile => Some(checked("profile", profile, 64)?),
    };
    let cpus = number("cpus", &form.cpus, cpus)?;
    let memory = number("memory", &form.memory, |value| {
        let megabytes = value.as_u64().and_then(|megabytes| megabytes.checked_mul(1 << 20));
        memory(&megabytes.into()).map_err(|_| "must be a whole number of MB".to_owned())
    })?;
    let new = NewSession { user: identity.user, kind, name, profile, cpus, memory, ..NewSession::default() };
    let session = sessions.start(new).await.map_err(|error| match error {
        // The page repeats nothing that was sent.
        SessionError::UnknownKind { offered, .. } => {
            let detail = format!("there is no such kind; there are: {}", offered.join(", "));
            Problem::invalid(vec![FieldError { field: "kind".to_owned(), detail }])
        }
        error => error.into(),
    })?;
    Ok(if form.join.is_some() { go_to(&format!("/sessions/{}/join", session.id)) } else { go_to("/") })
}

/// A field that is a number; what is usual where it is empty.
fn number<T: Default>(field: &str, text: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Result<T, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(T::default());
    }
    let value = serde_json::from_str(text).unwrap_or(Value::Null);
    let wrong = |detail| Problem::invalid(vec![FieldError { field: field.to_owned(), detail }]);
    read(&value).map_err(wrong)
}
