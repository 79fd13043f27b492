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
    sessions::NewSession,
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
    let session = sessions.start(NewSession { user: identity.user, kind, name, ..NewSession::default() }).await?;
    Ok(if form.join.is_some() { go_to(&format!("/sessions/{}/join", session.id)) } else { go_to("/") })
}
