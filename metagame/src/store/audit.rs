//! What somebody may want to look into later.

use super::StoreError;
use crate::args;
use crate::db::Tx;

/// Notes something, within the transaction that found it.
pub(super) async fn audit(tx: &mut Tx, now_ms: u64, kind: &str, subject: &str, detail: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (at_ms, kind, subject, detail) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![now_ms, kind, subject, detail]).await.map(drop)
}
