//! Sessions as they are read.

use sqlx::{QueryBuilder, Sqlite};

use super::{Route, SessionFilter, SqliteStore, StoreError, failed};
use crate::{
    domain::{Job, NodeId, Session, SessionId},
    store::rows::sessions::{self, session_columns},
};

pub(super) async fn one(store: &SqliteStore, id: SessionId) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query(concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1"))
        .bind(id.as_str())
        .fetch_optional(&store.readers)
        .await
        .map_err(failed("session"))?;
    row.as_ref().map(sessions::session).transpose()
}

pub(super) async fn job(store: &SqliteStore, id: SessionId) -> Result<Option<Job>, StoreError> {
    let row = sqlx::query("SELECT session AS id, job FROM jobs WHERE session = ?1")
        .bind(id.as_str())
        .fetch_optional(&store.readers)
        .await
        .map_err(failed("job"))?;
    row.as_ref().map(sessions::job).transpose()
}

pub(super) async fn list(store: &SqliteStore, filter: &SessionFilter) -> Result<Vec<Session>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(concat!("SELECT ", session_columns!(), " FROM sessions WHERE 1"));
    if let Some(user) = &filter.user {
        query.push(" AND user = ").push_bind(user);
    }
    if let Some(node) = filter.node {
        query.push(" AND node = ").push_bind(node.0);
    }
    if !filter.states.is_empty() {
        query.push(" AND state IN (");
        let mut states = query.separated(", ");
        for state in &filter.states {
            states.push_bind(state.as_str());
        }
        query.push(")");
    }
    if filter.jobs {
        query.push(" AND is_job = 1");
    }
    if let Some(after) = filter.after {
        query
            .push(" AND (created, id) < (SELECT created, id FROM sessions WHERE id = ")
            .push_bind(after.as_str().to_owned());
        query.push(")");
    }
    query.push(" ORDER BY created DESC, id DESC LIMIT ").push_bind(filter.limit.map_or(-1, i64::from));
    let rows = query.build().fetch_all(&store.readers).await.map_err(failed("sessions"))?;
    rows.iter().map(sessions::session).collect()
}

pub(super) async fn waiting(store: &SqliteStore) -> Result<Vec<(NodeId, SessionId)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, node FROM sessions
         WHERE state IN ('starting', 'active') AND state = 'starting' AND claimed = 0 AND wanted IS NULL
         ORDER BY placed, id",
    )
    .fetch_all(&store.readers)
    .await
    .map_err(failed("waiting starts"))?;
    rows.iter().map(sessions::waiting).collect()
}

pub(super) async fn routes(store: &SqliteStore) -> Result<Vec<Route>, StoreError> {
    let rows = sqlx::query(
        "SELECT sessions.id, sessions.user, sessions.kind, sessions.state, sessions.epoch, sessions.node,
                nodes.name AS node_name, nodes.address, nodes.certificate
         FROM sessions JOIN nodes ON nodes.id = sessions.node
         WHERE sessions.state IN ('starting', 'active') AND sessions.is_job = 0",
    )
    .fetch_all(&store.readers)
    .await
    .map_err(failed("routes"))?;
    rows.iter().map(sessions::route).collect()
}
