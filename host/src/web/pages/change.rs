//! `POST /sessions/{id}/suspend`, `…/resume`, `…/end`, `…/rename`, and `/sessions/suspend` and `/sessions/end` for all of
//! the visitor's: the buttons of the home page.

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    response::Response,
};
use serde::Deserialize;

use super::{Refusal, Visitor, go_to};
use crate::{
    domain::Wanted,
    web::{
        Problem,
        api::sessions::{Desk, create::LONGEST_NAME, resume::MAY_RUN_TWICE},
        body::check_text,
        problem::FieldError,
    },
};

pub(super) async fn suspend(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    desk.sessions.suspend(session.id).await?;
    Ok(go_to("/"))
}

#[derive(Deserialize)]
pub(super) struct ResumeForm {
    /// The box that is ticked for a lost session.
    confirm: Option<String>,
}

pub(super) async fn resume(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    form: Result<Form<ResumeForm>, FormRejection>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    let may_run_twice = form.is_ok_and(|Form(form)| form.confirm.as_deref() == Some(MAY_RUN_TWICE));
    desk.sessions.resume(session.id, may_run_twice).await?;
    Ok(go_to(&format!("/sessions/{}/join", session.id)))
}

pub(super) async fn end(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    desk.sessions.end(session.id).await?;
    Ok(go_to("/"))
}

#[derive(Deserialize)]
pub(super) struct RenameForm {
    name: String,
}

pub(super) async fn rename(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    form: Result<Form<RenameForm>, FormRejection>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    let Form(form) = form.map_err(|_| Problem::unreadable("the form was not sent whole"))?;
    let wrong = |detail| Problem::invalid(vec![FieldError { field: "name".to_owned(), detail }]);
    let name = check_text(&form.name, LONGEST_NAME).map_err(wrong)?;
    desk.sessions.rename(session.id, &name).await?;
    Ok(go_to("/"))
}

pub(super) async fn suspend_all(Visitor(identity): Visitor, State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.want_all(&identity, Wanted::Suspended).await?;
    Ok(go_to("/"))
}

pub(super) async fn end_all(Visitor(identity): Visitor, State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.want_all(&identity, Wanted::Ended).await?;
    Ok(go_to("/"))
}
