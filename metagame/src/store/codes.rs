//! Codes sent by mail, and the mail that carries them.

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::core::code::CODE_TRIES;
use crate::db::{Domain, Tx};

/// How long nobody else sends a mail that somebody has begun to send, in milliseconds.
const CLAIM_MS: u64 = 60_000;

/// Names a code; whoever asked for the code knows it, the mail does not say it.
pub type CodeId = [u8; 16];

/// A code to keep.
#[derive(Clone)]
pub struct NewCode {
    /// Its name.
    pub code_id: CodeId,
    /// What it is for.
    pub purpose: &'static str,
    /// The account, if there is one.
    pub player: Option<PlayerId>,
    /// Hash of the code.
    pub code_hash: [u8; 32],
    /// What follows from it, sealed.
    pub sealed: Vec<u8>,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

/// A mail to send.
#[derive(Clone)]
pub struct NewMail {
    /// Its name.
    pub mail_id: [u8; 16],
    /// The account, if there is one.
    pub player: Option<PlayerId>,
    /// Address and text, sealed.
    pub sealed: Vec<u8>,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// When it is worth nothing any more; Unix milliseconds.
    pub expires_at_ms: u64,
}

/// A code that somebody has typed.
#[derive(Clone)]
pub struct CodeTry {
    /// Its name.
    pub code_id: CodeId,
    /// What it is for.
    pub purpose: &'static str,
    /// Hash of what was typed.
    pub code_hash: [u8; 32],
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It was right, and cannot be used again.
    Right {
        /// The account, if there is one.
        player: Option<PlayerId>,
    },
    /// It was not.
    Wrong,
    /// There is none, it has expired, or was guessed at too often.
    Gone,
}

/// A mail that is due.
#[derive(Debug, Clone)]
pub struct DueMail {
    /// Its name.
    pub mail_id: [u8; 16],
    /// Address and text, sealed.
    pub sealed: Vec<u8>,
    /// How often it was tried, this time included.
    pub tries: u32,
}

impl Store {
    /// Keeps a code and the mail that carries it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn send_code(&self, code: NewCode, mail: NewMail) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (code, mail), |tx, (code, mail)| {
                Box::pin(async move {
                    let sql = "INSERT INTO codes
                               (code_id, purpose, player_id, code_hash, sealed, tries_left, expires_at_ms)
                               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (code_id) DO NOTHING";
                    let until = code.expires_at_ms;
                    let args =
                        args![code.code_id, code.purpose, code.player, code.code_hash, code.sealed, CODE_TRIES, until];
                    tx.execute(sql, args).await?;
                    enqueue_mail(tx, mail).await
                })
            })
            .await
    }

    /// What follows from a code, and whose it is, without trying it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn code(
        &self,
        code_id: CodeId,
        purpose: &'static str,
        now_ms: u64,
    ) -> Result<Option<(Option<PlayerId>, Vec<u8>)>, StoreError> {
        let sql = "SELECT player_id, sealed FROM codes WHERE code_id = $1 AND purpose = $2 AND expires_at_ms > $3";
        self.db.optional(Domain::Identity, sql, args![code_id, purpose, now_ms]).await
    }

    /// Mails that are due, for this caller alone for a minute.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_mails(&self, now_ms: u64, at_most: u32) -> Result<Vec<DueMail>, StoreError> {
        let sql = "UPDATE mails SET due_at_ms = $2, tries = tries + 1 WHERE due_at_ms <= $1 AND mail_id IN
                   (SELECT mail_id FROM mails WHERE due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3)
                   RETURNING mail_id, sealed, tries";
        let args = args![now_ms, now_ms + CLAIM_MS, at_most];
        let rows = self.db.statement_returning(Domain::Events, sql, args).await?;
        Ok(rows.into_iter().map(|(mail_id, sealed, tries)| DueMail { mail_id, sealed, tries }).collect())
    }

    /// A mail was sent, or need not be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_mail(&self, mail_id: [u8; 16]) -> Result<(), StoreError> {
        self.db.statement(Domain::Events, "DELETE FROM mails WHERE mail_id = $1", args![mail_id]).await.map(drop)
    }

    /// A mail could not be sent: it is tried again then, or forgotten if it is worth nothing by then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn postpone_mail(&self, mail_id: [u8; 16], due_at_ms: u64) -> Result<(), StoreError> {
        let sql = "UPDATE mails SET due_at_ms = $2 WHERE mail_id = $1";
        self.db.statement(Domain::Events, sql, args![mail_id, due_at_ms]).await.map(drop)
    }
}

/// Puts a mail where the postman finds it, within the transaction that has the reason.
pub(super) async fn enqueue_mail(tx: &mut Tx, mail: &NewMail) -> Result<(), StoreError> {
    let sql = "INSERT INTO mails (mail_id, player_id, sealed, due_at_ms, tries, expires_at_ms)
               VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (mail_id) DO NOTHING";
    tx.execute(sql, args![mail.mail_id, mail.player, mail.sealed, mail.now_ms, mail.expires_at_ms]).await.map(drop)
}

/// Tries a code, within the transaction of what follows from it.
pub(super) async fn try_code(tx: &mut Tx, tried: &CodeTry) -> Result<Tried, StoreError> {
    let sql = "SELECT code_hash, tries_left, player_id FROM codes
               WHERE code_id = $1 AND purpose = $2 AND expires_at_ms > $3 AND tries_left > 0";
    let row: Option<([u8; 32], u32, Option<PlayerId>)> =
        tx.optional(sql, args![tried.code_id, tried.purpose, tried.now_ms]).await?;
    let Some((code_hash, _, player)) = row else { return Ok(Tried::Gone) };
    if code_hash != tried.code_hash {
        let sql = "UPDATE codes SET tries_left = tries_left - 1 WHERE code_id = $1";
        tx.execute(sql, args![tried.code_id]).await?;
        return Ok(Tried::Wrong);
    }
    tx.execute("DELETE FROM codes WHERE code_id = $1", args![tried.code_id]).await?;
    Ok(Tried::Right { player })
}

/// Removes codes and mail that are worth nothing any more.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM codes WHERE expires_at_ms <= $1", args![now_ms]).await?;
    tx.execute("DELETE FROM mails WHERE expires_at_ms <= $1", args![now_ms]).await.map(drop)
}
