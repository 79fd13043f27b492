//! `POST /api/v1/sign-in-codes`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    accounts::{Accounts, AccountsError, Admission},
    web::{Problem, SignIns, ThisNode, identity::Administrator},
};

/// How long a link that was asked for waits to be opened.
const VALIDITY: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
pub(in crate::web) struct Parameters {
    user: Option<String>,
}

/// A link that signs in once.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInLink {
    /// To be opened in a browser.
    link: String,
    /// Whom it signs in.
    user: String,
    /// For how long, seconds.
    valid_for: u64,
}

/// Make a one-time link that signs a browser in: as the user of the token, or, where the daemon runs as root, as any user who
/// may have sessions.
#[utoipa::path(
    post, path = "/api/v1/sign-in-codes", tag = "sign-in", security(("token" = [])),
    params(("user" = Option<String>, Query, description = "Whom it signs in; the user of the token where absent")),
    responses((status = 201, body = SignInLink), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn create_sign_in_code(
    Administrator(by): Administrator,
    State(sign_ins): State<Arc<SignIns>>,
    State(this): State<Arc<ThisNode>>,
    State(accounts): State<Arc<dyn Accounts>>,
    State(admission): State<Admission>,
    Query(parameters): Query<Parameters>,
) -> Result<(StatusCode, Json<SignInLink>), Problem> {
    let user = match parameters.user {
        Some(name) => admitted(&*accounts, &admission, &name).await?,
        None => by.user.clone(),
    };
    // Who acts as another is on record.
    tracing::info!(by = by.user, user, "a sign-in link was made");
    let link = sign_ins.issue_code_for(user.clone(), VALIDITY).link(&this.base_url.load());
    Ok((StatusCode::CREATED, Json(SignInLink { link, user, valid_for: VALIDITY.as_secs() })))
}

/// The canonical name of a user who may have sessions here.
async fn admitted(accounts: &dyn Accounts, admission: &Admission, name: &str) -> Result<String, Problem> {
    let found = accounts.find(name).await?;
    let account = found.ok_or_else(|| Problem::missing(format!("this node has no account {}", name.escape_debug())))?;
    admission.check(&account).map_err(|refused| Problem::forbidden(refused.to_string()))?;
    Ok(account.name)
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        Self::busy(error.to_string())
    }
}
