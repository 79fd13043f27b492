//! `POST /api/v1/sign-in-codes`.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::{Problem, SignIns, ThisNode, identity::Administrator};

/// How long a link that was asked for waits to be opened.
const VALIDITY: Duration = Duration::from_secs(10 * 60);

/// A link that signs in once.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInLink {
    /// To be opened in a browser.
    link: String,
    /// For how long, seconds.
    valid_for: u64,
}

/// Make a one-time link that signs a browser in as the user of the token.
#[utoipa::path(
    post, path = "/api/v1/sign-in-codes", tag = "sign-in", security(("token" = [])),
    responses((status = 201, body = SignInLink), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn create_sign_in_code(
    Administrator(_by): Administrator,
    State(sign_ins): State<Arc<SignIns>>,
    State(this): State<Arc<ThisNode>>,
) -> (StatusCode, Json<SignInLink>) {
    let link = sign_ins.issue_code(VALIDITY).link(&this.base_url);
    (StatusCode::CREATED, Json(SignInLink { link, valid_for: VALIDITY.as_secs() }))
}
