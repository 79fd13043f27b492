//! `GET /api/v1/placements`.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::PlacementView;
use crate::{
    store::Store,
    web::{
        Problem,
        api::{Page, sessions::NodeNames},
        body::Paging,
        identity::Viewer,
    },
};

/// Placements, newest first: those of administrators and of members of `admin-group` are everybody's, other users' their own. A page of other users' may be
/// short or empty and still have a next.
#[utoipa::path(
    get, path = "/api/v1/placements", tag = "placements",
    params(
        ("limit" = Option<u32>, Query, description = "At most this many, up to 1000; 100 where absent"),
        ("after" = Option<String>, Query, description = "The next of the page before"),
        ("session" = Option<String>, Query, description = "Only those of this session"),
    ),
    responses((status = 200, body = Page<PlacementView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn list_placements(
    viewer: Viewer,
    State(store): State<Arc<dyn Store>>,
    paging: Paging,
) -> Result<Json<Page<PlacementView>>, Problem> {
    let session = paging.other("session", "a session's id")?;
    let mut found = store.placements(session, paging.after()?, paging.limit + 1).await?;
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|placement| placement.id.to_string());
    let names = NodeNames::read(&*store).await?;
    let items = found.into_iter().filter(|placement| viewer.sees(&placement.user));
    Ok(Json(Page { items: items.map(|placement| PlacementView::new(placement, &names, &viewer)).collect(), next }))
}
