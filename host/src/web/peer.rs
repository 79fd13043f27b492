//! Calls of other nodes, `/peer/v1/…`: each proves itself with a MAC over what it says; cookies and tokens are nothing here.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRef, FromRequest, Request},
    routing::{get, post},
};
use http::Uri;

use super::{App, AppRouter, PeerGate, Problem};

mod log;
mod nudge;

/// The longest body of a control call.
const MOST_BYTES: usize = 1024 * 1024;

pub(super) fn router() -> AppRouter {
    AppRouter::new()
        .route("/peer/v1/nudge", post(nudge::nudge))
        .route("/peer/v1/sessions/{id}/log", get(log::log))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// A call whose MAC is good; its body.
#[derive(Debug)]
struct Call(Bytes);

impl FromRequest<App> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let gate = <Arc<dyn PeerGate>>::from_ref(app);
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let target = target(request.uri());
        let body = Bytes::from_request(request, app).await.map_err(|_| {
            Problem::unreadable(format!("the body could not be read or is longer than {MOST_BYTES} bytes"))
        })?;
        match gate.admit(&method, &target, &headers, &body) {
            Ok(node) => {
                tracing::debug!(%node, %method, "peer call");
                Ok(Self(body))
            }
            Err(refused) => {
                tracing::warn!(reason = %refused, "a peer call was refused");
                Err(Problem::forbidden(format!("not a peer's call: {refused}")))
            }
        }
    }
}

/// Path and query as they stand in the request line.
fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
}
