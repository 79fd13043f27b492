//! `POST /sign-out`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::header;

use super::go_to;
use crate::web::{SignIns, identity::MaybeSignedIn};

pub(super) async fn sign_out(State(sign_ins): State<Arc<SignIns>>, MaybeSignedIn(identity): MaybeSignedIn) -> Response {
    let mut response = go_to("/sign-in");
    response.headers_mut().insert(header::SET_COOKIE, sign_ins.sign_out(identity.as_ref()));
    response
}
