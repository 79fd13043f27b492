//! `POST /sessions/{id}/suspend`, `…/resume`, `…/end`: the buttons of the home page.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Refusal, Visitor, go_to};
use crate::web::api::sessions::Desk;

pub(super) async fn suspend(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    desk.sessions.suspend(session.id).await?;
    Ok(go_to("/"))
}

pub(super) async fn resume(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    desk.sessions.resume(session.id).await?;
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
