//! `POST /sign-out`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, header};

use super::go_to;
use crate::web::{
    SignIns,
    identity::{MaybeSignedIn, same_origin},
};

pub(super) async fn sign_out(
    State(sign_ins): State<Arc<SignIns>>,
    MaybeSignedIn(identity): MaybeSignedIn,
    headers: HeaderMap,
) -> Response {
    let mut response = go_to("/sign-in");
    // Browsers leave the cookie out of another site's form, and would still forget it at this answer's word.
    if same_origin(&headers) {
        response.headers_mut().insert(header::SET_COOKIE, sign_ins.sign_out(identity.as_ref()));
    }
    response
}
