//! Calls of other nodes, `/peer/v1/…`: each proves itself with a MAC over what it says; cookies and tokens are nothing here.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRef, FromRequest, Request},
    routing::{get, post},
};
use http::Uri;

use super::{App, AppRouter, Problem};
use crate::wire::peer::{Caller, LARGEST, PeerVerifier};

mod log;
mod nudge;

pub(super) fn router() -> AppRouter {
    AppRouter::new()
        .route("/peer/v1/nudge", post(nudge::nudge))
        .route("/peer/v1/sessions/{id}/log", get(log::log))
        .route("/peer/v1/sessions/{id}/log/part", get(log::part))
        .layer(DefaultBodyLimit::max(LARGEST))
}

/// A call whose MAC is good; its body.
#[derive(Debug)]
struct Call(Bytes);

impl FromRequest<App> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let gate = <Arc<PeerVerifier>>::from_ref(app);
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let target = target(request.uri());
        let body = Bytes::from_request(request, app).await.map_err(|_| {
            Problem::unreadable(format!("the body could not be read or is longer than {LARGEST} bytes"))
        })?;
        match gate.verify(&method, &target, &headers, &body) {
            Ok(Caller { node }) => {
                tracing::debug!(%node, %method, "peer call");
                Ok(Self(body))
            }
            Err(refused) => {
                if app.peers_refused.passes() {
                    tracing::warn!(reason = %refused, "a peer call was refused");
                }
                Err(Problem::forbidden(format!("not a peer's call: {refused}")))
            }
        }
    }
}

/// Path and query as they stand in the request line.
fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
}
