//! `GET /sessions/{id}/log`: what a session has written; of a job, all there is to see.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Frame, Refusal, Visitor, home::Card, render};
use crate::web::{Problem, api::sessions::Desk};

/// The lines that the page begins with.
const LINES: usize = 1000;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    card: Card,
    /// Whether more may come.
    live: bool,
    text: String,
    /// Why there is no text.
    problem: Option<String>,
}

pub(super) async fn show(
    Visitor(identity): Visitor,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let session = desk.own(&identity, &id).await?;
    let live = session.state.is_live();
    let (text, problem) = match desk.sessions.log(session.id, LINES).await {
        Ok(text) => (text, None),
        Err(_) if live => (String::new(), None),
        Err(error) => (String::new(), Some(Problem::from(error).detail().to_owned())),
    };
    let frame = Frame { refresh: live.then_some(3), ..Frame::new(Some(&identity)) };
    let card = Card::new(desk.view(session).await?, &desk.this, desk.clock.now());
    Ok(render(&LogPage { frame, card, live, text, problem }))
}
