//! Passkeys and security keys, as second factors of an account.

use protocol::id::PlayerId;

use super::audit::audit;
use super::codes::{NewMail, enqueue_mail};
use super::factors::{forget_recovery_if_last, has_factor, keep_recovery, strengthen};
use super::sessions::end_sessions;
use super::{Store, StoreError};
use crate::args;
use crate::core::factor::StrongBy;
use crate::core::session::SessionId;
use crate::db::{Domain, Tx};

/// Most passkeys of one account.
const PASSKEYS_MAX: u64 = 10;

/// A passkey as it is kept.
#[derive(Debug, Clone)]
pub struct StoredPasskey {
    /// Where it is found again.
    pub passkey_id: [u8; 32],
    /// What checks it, sealed under the account's key.
    pub sealed: Vec<u8>,
    /// Counts its uses.
    pub version: u64,
    /// Unix milliseconds.
    pub created_at_ms: u64,
    /// Unix milliseconds of its newest use.
    pub used_at_ms: Option<u64>,
}

/// A passkey that answered a challenge.
#[derive(Clone)]
pub struct PasskeyUse {
    /// Which.
    pub passkey_id: [u8; 32],
    /// The version that it had when its answer was checked.
    pub version: u64,
    /// What checks it from now on, sealed.
    pub sealed: Vec<u8>,
}

/// A passkey to add.
#[derive(Clone)]
pub struct NewPasskey {
    /// The account.
    pub player: PlayerId,
    /// Where it is found again.
    pub passkey_id: [u8; 32],
    /// What checks it, sealed under the account's key.
    pub sealed: Vec<u8>,
    /// Hashes of new codes on paper, for an account that has no second factor yet.
    pub recovery: Vec<[u8; 32]>,
    /// The session in which it is added.
    pub session: SessionId,
    /// What tells the player.
    pub mail: Option<NewMail>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyAdded {
    /// It is a second factor.
    Done {
        /// Whether the new codes on paper are kept: it is the account's first factor.
        is_first: bool,
    },
    /// It is another account's, or was added before.
    Taken,
    /// The account has too many.
    TooMany,
}

impl Store {
    /// The account's passkeys, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn passkeys(&self, player: PlayerId) -> Result<Vec<StoredPasskey>, StoreError> {
        let sql = "SELECT passkey_id, sealed, version, created_at_ms, used_at_ms FROM passkeys
                   WHERE player_id = $1 ORDER BY created_at_ms, passkey_id";
        let rows = self.db.all(Domain::Identity, sql, args![player]).await?;
        let stored = |(passkey_id, sealed, version, created_at_ms, used_at_ms)| StoredPasskey {
            passkey_id,
            sealed,
            version,
            created_at_ms,
            used_at_ms,
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    /// Adds a passkey: from now on a second factor is asked for. All other sessions end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_passkey(&self, new: NewPasskey) -> Result<PasskeyAdded, StoreError> {
        self.db.write(Domain::Identity, new, |tx, new| Box::pin(add_passkey(tx, new))).await
    }

    /// Removes a passkey; with the last second factor the codes on paper go too. `false`: it is none of the account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_passkey(
        &self,
        player: PlayerId,
        passkey_id: [u8; 32],
        mail: Option<NewMail>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let input = (player, passkey_id, mail, now_ms);
        self.db
            .write(Domain::Identity, input, |tx, (player, passkey_id, mail, now_ms)| {
                Box::pin(remove_passkey(tx, *player, *passkey_id, mail.as_ref(), *now_ms))
            })
            .await
    }

    /// Notes in the audit log that a passkey may have been copied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_cloned_passkey(&self, player: PlayerId, shown: String, now_ms: u64) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (player, shown, now_ms), |tx, (player, shown, now_ms)| {
                Box::pin(async move { audit(tx, *now_ms, "passkey_cloned", &player.to_string(), shown).await })
            })
            .await
    }
}

async fn add_passkey(tx: &mut Tx, new: &NewPasskey) -> Result<PasskeyAdded, StoreError> {
    let player = new.player;
    let sql = "SELECT player_id, sealed FROM passkeys WHERE passkey_id = $1";
    let before: Option<(PlayerId, Vec<u8>)> = tx.optional(sql, args![new.passkey_id]).await?;
    if let Some((owner, sealed)) = before {
        if owner != player || sealed != new.sealed {
            return Ok(PasskeyAdded::Taken);
        }
        // It ran before, and nobody knew whether it was committed: a nonce seals once.
        let sql = "SELECT count(*) FROM recovery_codes WHERE player_id = $1 AND code_hash = $2";
        let kept: u64 = tx.one(sql, args![player, new.recovery.first().copied()]).await?;
        return Ok(PasskeyAdded::Done { is_first: kept > 0 });
    }
    let count: u64 = tx.one("SELECT count(*) FROM passkeys WHERE player_id = $1", args![player]).await?;
    if count >= PASSKEYS_MAX {
        return Ok(PasskeyAdded::TooMany);
    }
    let is_first = !has_factor(tx, player).await?;
    if is_first {
        keep_recovery(tx, player, &new.recovery).await?;
    }
    let sql = "INSERT INTO passkeys (passkey_id, player_id, sealed, version, created_at_ms) VALUES ($1, $2, $3, 1, $4)";
    tx.execute(sql, args![new.passkey_id, player, new.sealed, new.now_ms]).await?;
    strengthen(tx, new.session, StrongBy::Webauthn, new.now_ms).await?;
    end_sessions(tx, player, Some(new.session), new.now_ms).await?;
    if let Some(mail) = &new.mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, new.now_ms, "passkey_added", &player.to_string(), "by its owner").await?;
    Ok(PasskeyAdded::Done { is_first })
}

async fn remove_passkey(
    tx: &mut Tx,
    player: PlayerId,
    passkey_id: [u8; 32],
    mail: Option<&NewMail>,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM passkeys WHERE passkey_id = $1 AND player_id = $2";
    if tx.execute(sql, args![passkey_id, player]).await? == 0 {
        return Ok(false);
    }
    forget_recovery_if_last(tx, player).await?;
    if let Some(mail) = mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, now_ms, "passkey_removed", &player.to_string(), "by its owner").await?;
    Ok(true)
}

/// Uses a passkey, within the transaction of what that allows. `false`: it was used or removed since its answer was checked.
pub(super) async fn use_passkey(
    tx: &mut Tx,
    player: PlayerId,
    used: &PasskeyUse,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE passkeys SET sealed = $3, version = version + 1, used_at_ms = $5
               WHERE passkey_id = $1 AND player_id = $2 AND version = $4";
    let rows = tx.execute(sql, args![used.passkey_id, player, used.sealed, used.version, now_ms]).await?;
    Ok(rows > 0)
}
