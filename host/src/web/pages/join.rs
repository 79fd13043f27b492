//! `GET /sessions/{id}/join`: waits until a session is ready, then opens it.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Frame, Refusal, Visitor, go_to, home::Card, render};
use crate::{
    domain,
    web::api::sessions::{Desk, url},
};

#[derive(Template)]
#[template(path = "join.html")]
struct JoinPage {
    frame: Frame,
    card: Card,
}

pub(super) async fn show(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    if session.is_job || (session.state == domain::State::Active && session.wanted.is_none()) {
        return Ok(go_to(&url(&session)));
    }
    let is_waiting = session.state == domain::State::Starting;
    let frame = Frame { refresh: is_waiting.then_some(2), ..Frame::new(Some(&identity)) };
    let card = Card::new(desk.view(session).await?, &desk.this, desk.clock.now());
    Ok(render(&JoinPage { frame, card }))
}
