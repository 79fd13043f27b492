//! Sign-ins that were ended before their time.

use super::{SqliteStore, StoreError, failed, now};
use crate::{
    domain::SignOut,
    store::{SignOuts, rows::sign_outs::sign_outs},
};

/// Rows that are read in one go.
const AT_ONCE: i64 = 4096;

pub(super) async fn write(store: &SqliteStore, sign_outs: &[SignOut]) -> Result<(), StoreError> {
    let mut write = store.write("sign-out").await?;
    let failed = write.failed();
    let now = write.now;
    sqlx::query("DELETE FROM sign_outs WHERE until <= ?1").bind(now).execute(write.on()).await.map_err(&failed)?;
    for SignOut { sign_in, until } in sign_outs {
        sqlx::query("INSERT INTO sign_outs (sign_in, until) VALUES (?1, ?2) ON CONFLICT (sign_in) DO NOTHING")
            .bind(sign_in.as_slice())
            .bind(until.as_millisecond())
            .execute(write.on())
            .await
            .map_err(&failed)?;
    }
    write.commit().await
}

pub(super) async fn after(store: &SqliteStore, seen: i64) -> Result<SignOuts, StoreError> {
    const QUERY: &str = concat!(
        "SELECT number, sign_in, until FROM sign_outs WHERE number > ?1 AND until > ",
        now!(),
        " ORDER BY number LIMIT ?2"
    );
    let rows =
        sqlx::query(QUERY).bind(seen).bind(AT_ONCE).fetch_all(&store.readers).await.map_err(failed("sign-outs"))?;
    sign_outs(&rows, seen)
}
