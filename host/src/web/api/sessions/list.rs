//! `GET /api/v1/sessions`.

use std::sync::Arc;

use axum::{Json, extract::State as Piece};

use super::{NodeNames, SessionView, Turns};
use crate::{
    domain::{Session, State},
    store::{SessionFilter, Store},
    web::{Problem, SessionControl, api::Page, body::Paging, identity::Viewer},
};

/// The sessions of who asks, newest first; with `user`, another's or everybody's.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions",
    params(
        ("limit" = Option<u32>, Query, description = "At most this many, up to 1000; 100 where absent"),
        ("after" = Option<String>, Query, description = "The next of the page before"),
        ("user" = Option<String>, Query, description = "Those of this user, or of everybody with *: for the holder of the token and members of `admin-group`"),
        ("state" = Option<String>, Query, description = "Only those in this state"),
    ),
    responses((status = 200, body = Page<SessionView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn list_sessions(
    viewer: Viewer,
    Piece(sessions): Piece<Arc<dyn SessionControl>>,
    Piece(store): Piece<Arc<dyn Store>>,
    paging: Paging,
) -> Result<Json<Page<SessionView>>, Problem> {
    let states = "starting, active, suspended, ended, failed or lost";
    let filter = SessionFilter {
        user: whose(&viewer, paging.other("user", "a user's name, or *")?)?,
        states: paging.other::<State>("state", states)?.into_iter().collect(),
        after: paging.after()?,
        limit: Some(paging.limit + 1),
        ..SessionFilter::default()
    };
    let mut found = sessions.list(&filter).await?;
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|session| session.id.to_string());
    let names = NodeNames::read(&*store).await?;
    let turns = Turns::read(&*store, &found).await?;
    let view = |session: Session| {
        let is_own = session.user == viewer.identity.user;
        let view = turns.view(session, &names);
        if is_own { view } else { view.without_log() }
    };
    let items = found.into_iter().map(view).collect();
    Ok(Json(Page { items, next }))
}

/// Whose sessions are asked for: none is everybody.
fn whose(viewer: &Viewer, asked: Option<String>) -> Result<Option<String>, Problem> {
    match asked {
        None => Ok(Some(viewer.identity.user.clone())),
        Some(user) if user == viewer.identity.user => Ok(Some(user)),
        Some(_) if !viewer.sees_all => {
            Err(Problem::forbidden("other users' sessions are shown to members of admin-group alone"))
        }
        Some(user) if user == "*" => Ok(None),
        Some(user) => Ok(Some(user)),
    }
}
