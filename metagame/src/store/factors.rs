//! Second factors: authenticator apps, and codes on paper for who has lost the app.

use protocol::id::PlayerId;

use super::audit::audit;
use super::codes::{NewMail, enqueue_mail};
use super::passkeys::{PasskeyUse, use_passkey};
use super::sessions::end_sessions;
use super::{Store, StoreError};
use crate::args;
use crate::core::factor::StrongBy;
use crate::core::session::SessionId;
use crate::db::{Domain, Tx};

/// An account's authenticator app.
#[derive(Clone)]
pub struct StoredTotp {
    /// Its secret, sealed under the account's key.
    pub sealed: Vec<u8>,
    /// Whether it has shown a code.
    pub is_confirmed: bool,
}

/// What was shown.
#[derive(Clone)]
pub enum Shown {
    /// The code of this step of 30 s.
    Totp(u64),
    /// A code on paper, by its hash.
    Recovery([u8; 32]),
    /// A passkey that has answered a challenge.
    Passkey(PasskeyUse),
}

impl Shown {
    /// What that is.
    pub fn by(&self) -> StrongBy {
        match self {
            Self::Totp(_) => StrongBy::Totp,
            Self::Recovery(_) => StrongBy::Recovery,
            Self::Passkey(_) => StrongBy::Webauthn,
        }
    }
}

/// An app that shows its first code.
#[derive(Clone)]
pub struct TotpConfirmation {
    /// The account.
    pub player: PlayerId,
    /// The secret that showed it, as it is kept.
    pub sealed: Vec<u8>,
    /// The code's step.
    pub step: u64,
    /// Hashes of new codes on paper.
    pub recovery: Vec<[u8; 32]>,
    /// The session in which it is shown.
    pub session: SessionId,
    /// What tells the player.
    pub mail: Option<NewMail>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Store {
    /// The account's app, if it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn totp(&self, player: PlayerId) -> Result<Option<StoredTotp>, StoreError> {
        let sql = "SELECT sealed, confirmed FROM totp WHERE player_id = $1";
        let row = self.db.optional(Domain::Identity, sql, args![player]).await?;
        Ok(row.map(|(sealed, is_confirmed)| StoredTotp { sealed, is_confirmed }))
    }

    /// Keeps the secret of an app that has not shown a code yet. `false`: there is one that has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_totp(&self, player: PlayerId, sealed: Vec<u8>, now_ms: u64) -> Result<bool, StoreError> {
        let sql = "INSERT INTO totp (player_id, sealed, confirmed, last_step, created_at_ms) VALUES ($1, $2, 0, 0, $3)
                   ON CONFLICT (player_id) DO UPDATE SET sealed = excluded.sealed, created_at_ms = excluded.created_at_ms
                   WHERE totp.confirmed = 0";
        self.db.statement(Domain::Identity, sql, args![player, sealed, now_ms]).await.map(|rows| rows > 0)
    }

    /// The app has shown a code: from now on it is asked for. All other sessions end. `false`: it is another app by now, or it
    /// was confirmed already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn confirm_totp(&self, confirmation: TotpConfirmation) -> Result<bool, StoreError> {
        self.db.write(Domain::Identity, confirmation, |tx, one| Box::pin(confirm_totp(tx, one))).await
    }

    /// Shows a second factor in a session. `false`: it was shown before, or there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn step_up(
        &self,
        player: PlayerId,
        session: SessionId,
        shown: Shown,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        self.db
            .write_once(Domain::Identity, (player, session, shown, now_ms), |tx, (player, session, shown, now_ms)| {
                Box::pin(async move {
                    let used = use_factor(tx, *player, shown, *now_ms).await?;
                    if used {
                        strengthen(tx, *session, shown.by(), *now_ms).await?;
                    }
                    Ok(used)
                })
            })
            .await
    }

    /// Whether the account asks for a second factor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn asks_for_factor(&self, player: PlayerId) -> Result<bool, StoreError> {
        let count: u64 = self.db.one(Domain::Identity, HAS_FACTOR, args![player]).await?;
        Ok(count > 0)
    }

    /// Removes the app; with the last second factor the codes on paper go too. `false`: there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_totp(&self, player: PlayerId, mail: Option<NewMail>, now_ms: u64) -> Result<bool, StoreError> {
        self.db
            .write(Domain::Identity, (player, mail, now_ms), |tx, (player, mail, now_ms)| {
                Box::pin(remove_totp(tx, *player, mail.as_ref(), *now_ms))
            })
            .await
    }
}

async fn confirm_totp(tx: &mut Tx, one: &TotpConfirmation) -> Result<bool, StoreError> {
    let sql = "UPDATE totp SET confirmed = 1, last_step = $3 WHERE player_id = $1 AND sealed = $2 AND confirmed = 0";
    if tx.execute(sql, args![one.player, one.sealed, one.step]).await? == 0 {
        // It ran before, and nobody knew whether it was committed.
        let sql = "SELECT count(*) FROM recovery_codes WHERE player_id = $1 AND code_hash = $2";
        let kept: u64 = tx.one(sql, args![one.player, one.recovery.first().copied()]).await?;
        return Ok(kept > 0);
    }
    keep_recovery(tx, one.player, &one.recovery).await?;
    strengthen(tx, one.session, StrongBy::Totp, one.now_ms).await?;
    end_sessions(tx, one.player, Some(one.session), one.now_ms).await?;
    if let Some(mail) = &one.mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, one.now_ms, "totp_added", &one.player.to_string(), "by its owner").await?;
    Ok(true)
}

async fn remove_totp(tx: &mut Tx, player: PlayerId, mail: Option<&NewMail>, now_ms: u64) -> Result<bool, StoreError> {
    if tx.execute("DELETE FROM totp WHERE player_id = $1", args![player]).await? == 0 {
        return Ok(false);
    }
    forget_recovery_if_last(tx, player).await?;
    if let Some(mail) = mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, now_ms, "totp_removed", &player.to_string(), "by its owner").await?;
    Ok(true)
}

/// Whether the account asks for a second factor.
const HAS_FACTOR: &str = "\
    SELECT (SELECT count(*) FROM totp WHERE player_id = $1 AND confirmed = 1)
         + (SELECT count(*) FROM passkeys WHERE player_id = $1)";

/// Whether the account asks for a second factor.
pub(super) async fn has_factor(tx: &mut Tx, player: PlayerId) -> Result<bool, StoreError> {
    let count: u64 = tx.one(HAS_FACTOR, args![player]).await?;
    Ok(count > 0)
}

/// Replaces the codes on paper.
pub(super) async fn keep_recovery(tx: &mut Tx, player: PlayerId, hashes: &[[u8; 32]]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM recovery_codes WHERE player_id = $1", args![player]).await?;
    for code_hash in hashes {
        let sql = "INSERT INTO recovery_codes (player_id, code_hash) VALUES ($1, $2)";
        tx.execute(sql, args![player, code_hash]).await?;
    }
    Ok(())
}

/// Codes on paper stand in for other factors: without any they go.
pub(super) async fn forget_recovery_if_last(tx: &mut Tx, player: PlayerId) -> Result<(), StoreError> {
    if has_factor(tx, player).await? {
        return Ok(());
    }
    tx.execute("DELETE FROM recovery_codes WHERE player_id = $1", args![player]).await.map(drop)
}

/// Uses up what was shown, within the transaction of what it allows. Each code works once (RFC 6238, 5.2).
pub(super) async fn use_factor(tx: &mut Tx, player: PlayerId, shown: &Shown, now_ms: u64) -> Result<bool, StoreError> {
    let rows = match shown {
        Shown::Passkey(used) => return use_passkey(tx, player, used, now_ms).await,
        Shown::Totp(step) => {
            let sql = "UPDATE totp SET last_step = $2 WHERE player_id = $1 AND confirmed = 1 AND last_step < $2";
            tx.execute(sql, args![player, step]).await?
        }
        Shown::Recovery(code_hash) => {
            let sql = "DELETE FROM recovery_codes WHERE player_id = $1 AND code_hash = $2";
            tx.execute(sql, args![player, code_hash]).await?
        }
    };
    Ok(rows > 0)
}

/// Notes in a session that a second factor was shown.
pub(super) async fn strengthen(tx: &mut Tx, session: SessionId, by: StrongBy, now_ms: u64) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET strong_by = $2, strong_at_ms = $3 WHERE session_id = $1";
    tx.execute(sql, args![session, by.name(), now_ms]).await.map(drop)
}
