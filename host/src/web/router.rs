//! Which path is answered by what.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use super::{App, api, assets, body, health, identity, pages, peer, problem::Problem, protect, status};

/// How long an answer may take to begin; what a node is asked by a peer takes less.
const LONGEST: Duration = Duration::from_secs(60);

/// Everything but `/s/…`.
pub fn router(app: App) -> Router {
    let people = Router::new()
        .merge(api::router())
        .merge(pages::router())
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), identity::identify_and_guard))
        .layer(DefaultBodyLimit::max(body::MOST_BYTES));
    Router::new()
        .merge(people)
        .merge(peer::router())
        .merge(assets::router())
        .route("/load-balancer/status", get(status::show))
        .route("/health-check", get(health::show))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, LONGEST))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(protect::protect))
        .with_state(app)
}

async fn missing(headers: HeaderMap) -> Response {
    pages::refuse(&headers, Problem::missing("there is nothing at this address"))
}

async fn wrong_method(headers: HeaderMap) -> Response {
    let problem = Problem::unreadable("this address does not take this method");
    pages::refuse(&headers, problem.with_status(StatusCode::METHOD_NOT_ALLOWED))
}

/// The panic itself went to the log through the panic hook.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::unreadable("the server failed on this request; its log has more")
        .with_status(StatusCode::INTERNAL_SERVER_ERROR)
        .into_response()
}
