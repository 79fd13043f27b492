//! `POST /sessions`: the New Session form.

use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::Response,
};
use serde::Deserialize;

use super::{Refusal, Visitor, go_to};
use crate::{
    sessions::{NewSession, SessionError},
    web::{Problem, SessionControl, api::sessions::create::LONGEST_NAME, body::check_text, problem::FieldError},
};

#[derive(Deserialize)]
pub(super) struct NewSessionForm {
    kind: String,
    #[serde(default)]
    name: String,
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
    let new = NewSession { user: identity.user, kind, name, ..NewSession::default() };
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
