//! Sign-ins that were ended, as they are read.

use super::{Columns, Fields};
use crate::{
    domain::SignOut,
    store::{SignOuts, StoreError},
};

/// Rows of `sign_outs` by their number, after those up to `seen`.
pub(in crate::store) fn sign_outs(rows: &[impl Columns], seen: i64) -> Result<SignOuts, StoreError> {
    let mut read = SignOuts { sign_outs: Vec::with_capacity(rows.len()), seen };
    for row in rows {
        let fields = Fields::new("sign_outs", row);
        let sign_in: &[u8] = fields.get("sign_in")?;
        let sign_in = sign_in.try_into().map_err(|error| fields.corrupt("sign_in", error))?;
        read.sign_outs.push(SignOut { sign_in, until: fields.time("until")? });
        read.seen = fields.get("number")?;
    }
    Ok(read)
}
