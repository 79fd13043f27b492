//! What a node answers while its cluster does not take it: why, and the list of nodes to whoever administers it. Nothing
//! else, since it shares neither sessions nor sign-ins with the others.

use axum::response::Response;
use http::{Method, Request};

use super::{App, Problem, pages};

/// The answer to a request that must not be served; none where it may be.
pub(super) fn refusal<B>(app: &App, request: &Request<B>) -> Option<Response> {
    let why = app.standing.borrow().clone()?;
    let path = request.uri().path();
    let is_list = request.method() == Method::GET && path == "/api/v1/nodes";
    if is_list || path.starts_with("/assets/") {
        return None;
    }
    Some(pages::refuse(request.headers(), Problem::out_of_cluster(why)))
}
