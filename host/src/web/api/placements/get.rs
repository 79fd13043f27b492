//! `GET /api/v1/placements/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::PlacementView;
use crate::{
    domain::PlacementId,
    store::Store,
    web::{Problem, api::sessions::NodeNames, identity::SignedIn},
};

/// One placement.
#[utoipa::path(
    get, path = "/api/v1/placements/{id}", tag = "placements",
    params(("id" = i64, Path, description = "The placement's id")),
    responses((status = 200, body = PlacementView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_placement(
    SignedIn(identity): SignedIn,
    State(store): State<Arc<dyn Store>>,
    Path(id): Path<String>,
) -> Result<Json<PlacementView>, Problem> {
    let missing = || Problem::missing("there is no such placement");
    let id: PlacementId = id.parse().map_err(|_| missing())?;
    let placement = store
        .placement(id)
        .await?
        .filter(|placement| identity.is_administrator() || placement.user == identity.user)
        .ok_or_else(missing)?;
    let names = NodeNames::read(&*store).await?;
    Ok(Json(PlacementView::new(placement, &names, &identity)))
}
