//! `GET /everybody`: everybody's sessions, for members of `admin-group`. It shows and changes nothing.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State as Piece, response::Response};

use super::{Frame, Overseer, Refusal, home::Card, render};
use crate::{
    domain::{Clock, State},
    store::{SessionFilter, Store},
    web::{
        Problem, ThisNode,
        api::sessions::{NodeNames, SessionView},
    },
};

/// The most sessions on the page, newest first.
const MOST_SESSIONS: u32 = 1000;

#[derive(Template)]
#[template(path = "everybody.html")]
struct EverybodyPage {
    frame: Frame,
    rows: Vec<Row>,
    is_cut: bool,
}

struct Row {
    user: String,
    card: Card,
}

pub(super) async fn show(
    Overseer(viewer): Overseer,
    Piece(store): Piece<Arc<dyn Store>>,
    Piece(this): Piece<Arc<ThisNode>>,
    Piece(clock): Piece<Arc<dyn Clock>>,
) -> Result<Response, Refusal> {
    if !viewer.sees_all {
        return Err(Problem::missing("there is nothing at this address").into());
    }
    let filter = SessionFilter {
        states: State::ALL.into_iter().filter(|state| *state != State::Ended).collect(),
        limit: Some(MOST_SESSIONS + 1),
        ..SessionFilter::default()
    };
    let mut sessions = store.sessions(&filter).await?;
    let most = usize::try_from(MOST_SESSIONS).unwrap_or(usize::MAX);
    let is_cut = sessions.len() > most;
    sessions.truncate(most);
    let (names, now) = (NodeNames::read(&*store).await?, clock.now());
    let row = |session: crate::domain::Session| Row {
        user: session.user.clone(),
        card: Card::new(SessionView::new(session, &names), &this, now),
    };
    let frame = Frame { refresh: Some(15), ..Frame::new(Some(&viewer.identity)) };
    Ok(render(&EverybodyPage { frame, rows: sessions.into_iter().map(row).collect(), is_cut }))
}
