//! Proofs by others than metagame itself: begun here, finished elsewhere, and each good for once.

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::db::{Domain, Tx};

/// Names a proof that was begun: SHA-256 of the secret that only whoever began it knows.
pub type ProofId = [u8; 32];

/// A proof that was begun.
#[derive(Clone)]
pub struct BegunProof {
    /// Its name.
    pub proof_id: ProofId,
    /// What it is for.
    pub purpose: String,
    /// Who proves it, where that is known already.
    pub player: Option<PlayerId>,
    /// What the answer has to fit to, sealed.
    pub sealed: Vec<u8>,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

/// A proof that works once.
#[derive(Debug, Clone)]
pub struct UsedProof {
    /// Its hash.
    pub proof: [u8; 32],
    /// When it is worth nothing any more anyway; Unix milliseconds.
    pub expires_at_ms: u64,
}

impl Store {
    /// Keeps what the answer to a proof has to fit to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_proof(&self, begun: BegunProof) -> Result<(), StoreError> {
        let sql = "INSERT INTO begun_proofs (proof_id, purpose, player_id, sealed, expires_at_ms)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (proof_id) DO NOTHING";
        let args = args![begun.proof_id, begun.purpose, begun.player, begun.sealed, begun.expires_at_ms];
        self.db.statement(Domain::Identity, sql, args).await.map(drop)
    }

    /// Takes what the answer has to fit to; nobody takes it again. `None`: it was never begun for this purpose and by this
    /// player, was taken, or has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_proof(
        &self,
        proof_id: ProofId,
        purpose: &str,
        player: Option<PlayerId>,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "DELETE FROM begun_proofs WHERE proof_id = $1 AND purpose = $2
                   AND player_id IS NOT DISTINCT FROM $3 AND expires_at_ms > $4 RETURNING sealed";
        let args = args![proof_id, purpose, player, now_ms];
        let rows: Vec<Vec<u8>> = self.db.statement_returning(Domain::Identity, sql, args).await?;
        Ok(rows.into_iter().next())
    }
}

/// Uses up a proof within the transaction of what it allows. `false`: it was used for something else before.
pub(super) async fn use_proof(tx: &mut Tx, used: &UsedProof, used_for: Vec<u8>) -> Result<bool, StoreError> {
    let sql =
        "INSERT INTO used_proofs (proof, used_for, expires_at_ms) VALUES ($1, $2, $3) ON CONFLICT (proof) DO NOTHING";
    if tx.execute(sql, args![used.proof, used_for, used.expires_at_ms]).await? > 0 {
        return Ok(true);
    }
    let before: Vec<u8> = tx.one("SELECT used_for FROM used_proofs WHERE proof = $1", args![used.proof]).await?;
    Ok(before == used_for)
}

/// Removes proofs that are worth nothing any more.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM begun_proofs WHERE expires_at_ms <= $1", args![now_ms]).await?;
    tx.execute("DELETE FROM used_proofs WHERE expires_at_ms <= $1", args![now_ms]).await.map(drop)
}
