//! What is kept of what a balancer was shown, read for the endpoints about one placement.

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    domain::{Placement, PlacementId},
    sessions::placement::shown::{self, Shown},
    store::{Store, StoreError},
    web::{Problem, identity::Viewer},
};

/// How many are unpacked at once. Every user may ask, and a placement in a large cluster unpacks to some megabytes.
static UNPACKING: Semaphore = Semaphore::const_new(4);

/// A placement, if whoever asks may see it. What belongs to others is as absent as what is not there.
pub(super) async fn placement(by: &Viewer, store: &dyn Store, id: &str) -> Result<Placement, Problem> {
    let missing = || Problem::missing("there is no such placement");
    let id: PlacementId = id.parse().map_err(|_| missing())?;
    let placement = store.placement(id).await?;
    placement.filter(|placement| by.sees(&placement.user)).ok_or_else(missing)
}

/// What the balancer was shown for a placement; the inner error says why nobody can tell any more.
pub(super) async fn shown(store: &dyn Store, id: PlacementId) -> Result<Result<Shown, Problem>, StoreError> {
    // It is never closed.
    let permit = UNPACKING.acquire().await;
    let Some(kept) = store.shown(id).await? else {
        return Ok(Err(Problem::missing("what the balancer was shown is not kept")));
    };
    let unpack = move || {
        // Whoever asked may go away meanwhile; the work goes on, and counts.
        let _permit = permit;
        shown::decode(&kept.content, kept.position)
    };
    let decoded = spawn_blocking(unpack).await;
    let decoded = decoded.map_err(|error| error.to_string()).and_then(|shown| shown.map_err(|error| error.to_string()));
    Ok(decoded.map_err(Problem::conflict))
}

/// A placement and what the balancer was shown for it, for those alone who may see everybody's.
pub(super) async fn for_administrator(by: &Viewer, store: &dyn Store, id: &str) -> Result<(Placement, Shown), Problem> {
    if !by.sees_all {
        return Err(Problem::missing("there is no such placement"));
    }
    let placement = placement(by, store, id).await?;
    let shown = shown(store, placement.id).await??;
    Ok((placement, shown))
}
