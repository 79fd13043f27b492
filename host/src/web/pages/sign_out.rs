//! `POST /sign-out`: on this node at once, and on the others as soon as they have read of it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, header};

use super::go_to;
use crate::{
    store::Store,
    web::{SignIns, identity::MaybeSignedIn},
};

pub(super) async fn sign_out(
    State(sign_ins): State<Arc<SignIns>>,
    State(store): State<Arc<dyn Store>>,
    MaybeSignedIn(identity): MaybeSignedIn,
    headers: HeaderMap,
) -> Response {
    let mut response = go_to("/sign-in");
    // Browsers leave the cookie out of another site's form, and would still forget it at this answer's word.
    if sign_ins.is_same_origin(&headers) {
        response.headers_mut().insert(header::SET_COOKIE, sign_ins.sign_out(&headers));
        if let Some(identity) = identity {
            tracing::info!(user = identity.user, "signed out");
            if !sign_ins.tell(&*store).await {
                tracing::warn!(user = identity.user, "the other nodes hear of the sign-out once the store answers");
            }
        }
    }
    response
}
