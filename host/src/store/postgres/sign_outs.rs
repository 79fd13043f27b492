//! Sign-ins that were ended before their time.

use super::{PostgresStore, StoreError, now};
use crate::{
    domain::SignOut,
    store::{SignOuts, rows::sign_outs::sign_outs},
};

/// Rows that are read in one go.
const AT_ONCE: i64 = 4096;

pub(super) async fn write(store: &PostgresStore, sign_outs: &[SignOut]) -> Result<(), StoreError> {
    let mut write = store.write("sign-out").await?;
    let now = write.now;
    write.execute(sqlx::query("DELETE FROM sign_outs WHERE until <= $1").bind(now)).await?;
    let query = sqlx::query(
        "INSERT INTO sign_outs (sign_in, until)
         SELECT sign_in, until FROM unnest($1::bytea[], $2::bigint[]) AS new (sign_in, until)
         ON CONFLICT (sign_in) DO NOTHING",
    )
    .bind(sign_outs.iter().map(|ended| ended.sign_in.to_vec()).collect::<Vec<_>>())
    .bind(sign_outs.iter().map(|ended| ended.until.as_millisecond()).collect::<Vec<_>>());
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn after(store: &PostgresStore, seen: i64) -> Result<SignOuts, StoreError> {
    const QUERY: &str = concat!(
        "SELECT number, sign_in, until FROM sign_outs WHERE number > $1 AND until > ",
        now!(),
        " ORDER BY number LIMIT $2"
    );
    let rows = store.read("sign-outs").await?.all(sqlx::query(QUERY).bind(seen).bind(AT_ONCE)).await?;
    sign_outs(&rows, seen)
}
