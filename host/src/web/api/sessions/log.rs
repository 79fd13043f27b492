//! `GET /api/v1/sessions/{id}/log`.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use http::header;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Desk;
use crate::{
    domain::SessionId,
    launcher::LogPart,
    sessions::SessionError,
    web::{EventSlots, Identity, Problem, SessionControl, SignIns, body::Paging, identity::SignedIn},
};

/// How long after nothing new is looked again: longer and longer while a session says nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often in a row a node or the store may fail until the stream breaks off.
const MOST_FAILURES: u32 = 30;

/// A session's log, as plain text. Without `follow`, its last lines. With `follow=true`, all that is kept of it from its
/// beginning, or from the byte `from` of all that was ever written to it, and then whatever comes, until the session is over.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/log", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("limit" = Option<u32>, Query, description = "At most this many lines, up to 1000; 100 where absent"),
        ("follow" = Option<bool>, Query, description = "Go on until the session is over"),
        ("from" = Option<u64>, Query, description = "With follow: the byte to begin at"),
    ),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_session_log(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    State(EventSlots(slots)): State<EventSlots>,
    State(sign_ins): State<Arc<SignIns>>,
    State(stopping): State<CancellationToken>,
    Path(id): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    let id = desk.own(&identity, &id).await?.id;
    if !paging.other::<bool>("follow", "true or false")?.unwrap_or_default() {
        let lines = usize::try_from(paging.limit).unwrap_or(usize::MAX);
        return Ok(desk.sessions.log(id, lines).await?.into_response());
    }
    let from = paging.other::<u64>("from", "a number of bytes")?.unwrap_or_default();
    let slot = slots.try_acquire_owned().map_err(|_| Problem::busy("too many streams are open"))?;
    let mut following =
        Following { id, sessions: desk.sessions, identity, sign_ins, stopping, from, waiting: None, _slot: slot };
    // Where there is no log, that is said before the answer begins.
    following.waiting = following.first().await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, Body::from_stream(following.parts())).into_response())
}

/// One open stream.
struct Following {
    id: SessionId,
    sessions: Arc<dyn SessionControl>,
    identity: Identity,
    sign_ins: Arc<SignIns>,
    stopping: CancellationToken,
    from: u64,
    waiting: Option<LogPart>,
    _slot: OwnedSemaphorePermit,
}

impl Following {
    /// What is there already; none where the session has not begun to write.
    async fn first(&self) -> Result<Option<LogPart>, SessionError> {
        match self.sessions.log_part(self.id, self.from).await {
            Ok(part) => Ok(Some(part)),
            Err(_) if !self.sessions.get(self.id).await?.state.is_over() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parts(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(self, async |mut following| {
            let stopping = following.stopping.clone();
            // A daemon that stops breaks the stream off, so that a reader knows to come again.
            let next = stopping.run_until_cancelled(following.next()).await;
            match next.unwrap_or_else(|| Some(Err(io::Error::other("the server stops")))) {
                Some(Ok(bytes)) => Some((Ok(bytes), following)),
                Some(Err(error)) => Some((Err(error), following)),
                None => None,
            }
        })
    }

    /// What comes next; none at the end.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut pause = FIRST_PAUSE;
        let mut failures = 0;
        loop {
            if !self.sign_ins.holds(&self.identity) {
                return None;
            }
            match self.look().await {
                Ok(Some(bytes)) if !bytes.is_empty() => return Some(Ok(bytes)),
                Ok(Some(_)) => failures = 0,
                Ok(None) => return None,
                Err(error) => {
                    failures += 1;
                    if failures == MOST_FAILURES {
                        return Some(Err(io::Error::other(error.to_string())));
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is new; none where there is nothing more to come.
    async fn look(&mut self) -> Result<Option<Bytes>, SessionError> {
        // The state first: what is over has written everything.
        let over = self.sessions.get(self.id).await?.state.is_over();
        let part = match self.waiting.take() {
            Some(part) => Ok(part),
            None => self.sessions.log_part(self.id, self.from).await,
        };
        match part {
            Ok(part) => {
                self.from = part.next();
                Ok((!part.bytes.is_empty() || !over).then(|| part.bytes.into()))
            }
            // Its node may not have begun, or has removed it.
            Err(SessionError::Launcher(_)) => Ok((!over).then(Bytes::new)),
            Err(error) => Err(error),
        }
    }
}
