//! What the studio's own rules need: whether something has happened already, and that they refused it.

use protocol::id::{MatchId, PlayerId};

use super::results::note_refusal;
use super::{Store, StoreError, VerifiedResult};
use crate::args;
use crate::db::Domain;
use crate::idempotency::{Keyed, Reply, claim, settle};

impl Store {
    /// Whether an account has used a key: then what was answered is answered again, whatever rules say now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_key_used(&self, account: PlayerId, key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM idempotency WHERE account = $1 AND idempotency_key = $2)";
        self.db.one(Domain::Economy, sql, args![account, key]).await
    }

    /// Keeps a refusal as the answer of a key, unless it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle_refusal<O: Send + Sync + 'static>(
        &self,
        keyed: Keyed<O>,
        refusal: O,
    ) -> Result<Reply, StoreError> {
        self.db
            .write(Domain::Economy, (keyed, refusal), |tx, (keyed, refusal)| {
                Box::pin(async move {
                    match claim(tx, keyed).await? {
                        Some(reply) => Ok(reply),
                        None => settle(tx, keyed, refusal).await,
                    }
                })
            })
            .await
    }

    /// Whether a match has its result.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_result(&self, match_id: MatchId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM results WHERE match_id = $1)";
        self.db.one(Domain::Matches, sql, args![match_id]).await
    }

    /// Notes for audit that rules refused a result, once per body.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_refused_result(&self, verified: VerifiedResult) -> Result<(), StoreError> {
        self.db
            .write(Domain::Matches, verified, |tx, verified| {
                Box::pin(note_refusal(tx, verified, "result_refused_by_rule"))
            })
            .await
    }
}
