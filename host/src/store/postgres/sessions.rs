//! Sessions as they are read.

use sqlx::{Postgres, QueryBuilder};

use super::{PostgresStore, Route, SessionFilter, StoreError, text};
use crate::{
    domain::{Job, NodeId, Session, SessionId},
    store::rows::sessions::{self, session_columns},
};

pub(super) async fn one(store: &PostgresStore, id: SessionId) -> Result<Option<Session>, StoreError> {
    let query = sqlx::query(concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1")).bind(id.as_str());
    let row = store.read("session").await?.optional(query).await?;
    row.as_ref().map(sessions::session).transpose()
}

pub(super) async fn job(store: &PostgresStore, id: SessionId) -> Result<Option<Job>, StoreError> {
    let query = sqlx::query("SELECT session AS id, job FROM jobs WHERE session = $1").bind(id.as_str());
    let row = store.read("job").await?.optional(query).await?;
    row.as_ref().map(sessions::job).transpose()
}

pub(super) async fn list(store: &PostgresStore, filter: &SessionFilter) -> Result<Vec<Session>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new(concat!("SELECT ", session_columns!(), " FROM sessions WHERE TRUE"));
    if let Some(user) = &filter.user {
        query.push(r#" AND "user" = "#).push_bind(text(user));
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
        query.push(" AND is_job");
    }
    if let Some(after) = filter.after {
        query
            .push(" AND (created, id) < (SELECT created, id FROM sessions WHERE id = ")
            .push_bind(after.as_str().to_owned());
        query.push(")");
    }
    // No limit where it is null.
    query.push(" ORDER BY created DESC, id DESC LIMIT ").push_bind(filter.limit.map(i64::from));
    let rows = store.read("sessions").await?.all(query.build()).await?;
    rows.iter().map(sessions::session).collect()
}

pub(super) async fn waiting(store: &PostgresStore) -> Result<Vec<(NodeId, SessionId)>, StoreError> {
    let query = sqlx::query(
        "SELECT id, node FROM sessions
         WHERE state IN ('starting', 'active') AND state = 'starting' AND NOT claimed AND wanted IS NULL
         ORDER BY placed, id",
    );
    let rows = store.read("waiting starts").await?.all(query).await?;
    rows.iter().map(sessions::waiting).collect()
}

pub(super) async fn routes(store: &PostgresStore) -> Result<Vec<Route>, StoreError> {
    let query = sqlx::query(
        r#"SELECT sessions.id, sessions."user", sessions.kind, sessions.state, sessions.epoch, sessions.node,
                  nodes.name AS node_name, nodes.address, nodes.certificate
           FROM sessions JOIN nodes ON nodes.id = sessions.node
           WHERE sessions.state IN ('starting', 'active') AND NOT sessions.is_job"#,
    );
    let rows = store.read("routes").await?.all(query).await?;
    rows.iter().map(sessions::route).collect()
}
