//! Sign-ins that were ended before their time.

use super::{SqliteStore, StoreError, failed, now, rows::Fields};
use crate::{domain::SignOut, store::SignOuts};

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
    let mut read = SignOuts { sign_outs: Vec::with_capacity(rows.len()), seen };
    for row in &rows {
        let fields = Fields::new("sign_outs", row);
        let sign_in: &[u8] = fields.get("sign_in")?;
        let sign_in = sign_in.try_into().map_err(|error| fields.corrupt("sign_in", error))?;
        read.sign_outs.push(SignOut { sign_in, until: fields.time("until")? });
        read.seen = fields.get("number")?;
    }
    Ok(read)
}
