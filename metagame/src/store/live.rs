//! Events and settings in versions, and verdicts of anti-cheat.

use protocol::id::{MatchId, PlayerId};

use super::audit::audit;
use super::events::tell;
use super::sessions::{bar_account, barred};
use super::{Store, StoreError};
use crate::args;
use crate::core::event::fact;
use crate::core::live::verdict::{Outcome, Verdict};
use crate::db::{Domain, FromRow, Row, Tx};

/// Versions of a list, at most.
const VERSIONS_MAX: u32 = 100;
/// Versions that are kept; older ones are forgotten.
const VERSIONS_KEPT: u64 = 1_000;
/// Who is not here is told so, and it is noted.
const UNKNOWN_PLAYER: &str = "unknown_player";

/// A version of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveVersion {
    /// From 1.
    pub version: u64,
    /// The JSON.
    pub body: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl FromRow for LiveVersion {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { version: row.get(0)?, body: row.get(1)?, at_ms: row.get(2)? })
    }
}

/// What became of a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It holds now.
    Done,
    /// Another version holds, of this number.
    Stale(u64),
}

/// What a vendor said of a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVerdict {
    /// Whose word it is.
    pub vendor: String,
    /// Its name for the message; each counts once.
    pub message_id: String,
    /// Of whom.
    pub player: PlayerId,
    /// In which match.
    pub match_id: Option<MatchId>,
    /// What.
    pub verdict: Verdict,
    /// What follows.
    pub outcome: Outcome,
    /// The vendor's words.
    pub reason: String,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// A verdict as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptVerdict {
    /// Whose word it is.
    pub vendor: String,
    /// Its name for the message.
    pub message_id: String,
    /// Of whom.
    pub player: PlayerId,
    /// In which match.
    pub match_id: Option<MatchId>,
    /// `clean`, `suspicious` or `cheating`.
    pub verdict: String,
    /// What followed: `none`, `flag`, `ban` or `unknown_player`.
    pub outcome: String,
    /// The vendor's words.
    pub reason: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Unix milliseconds at which an operator had looked into it.
    pub resolved_at_ms: Option<u64>,
}

impl FromRow for KeptVerdict {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            vendor: row.get(0)?,
            message_id: row.get(1)?,
            player: row.get(2)?,
            match_id: row.get(3)?,
            verdict: row.get(4)?,
            outcome: row.get(5)?,
            reason: row.get(6)?,
            at_ms: row.get(7)?,
            resolved_at_ms: row.get(8)?,
        })
    }
}

const VERDICT: &str = "SELECT vendor, message_id, player_id, match_id, verdict, outcome, reason, at_ms, resolved_at_ms
    FROM anti_cheat_verdicts WHERE vendor = $1 AND message_id = $2";

impl Store {
    /// The version that holds, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_document(&self) -> Result<Option<LiveVersion>, StoreError> {
        let sql = "SELECT version, body, at_ms FROM live_documents ORDER BY version DESC LIMIT 1";
        self.db.optional(Domain::Operations, sql, args![]).await
    }

    /// The number of the version that holds; 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_version(&self) -> Result<u64, StoreError> {
        self.db.one(Domain::Operations, "SELECT coalesce(max(version), 0) FROM live_documents", args![]).await
    }

    /// A version that held once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_document_of(&self, version: u64) -> Result<Option<LiveVersion>, StoreError> {
        let sql = "SELECT version, body, at_ms FROM live_documents WHERE version = $1";
        self.db.optional(Domain::Operations, sql, args![version]).await
    }

    /// Numbers and times of the newest versions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_versions(&self) -> Result<Vec<(u64, u64)>, StoreError> {
        let sql = "SELECT version, at_ms FROM live_documents ORDER BY version DESC LIMIT $1";
        self.db.all(Domain::Operations, sql, args![VERSIONS_MAX]).await
    }

    /// Has a new version hold, if the one before it is still `before`. The same version with the same body again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_live(&self, new: LiveVersion, before: u64) -> Result<Published, StoreError> {
        self.db.write(Domain::Operations, (new, before), |tx, (new, before)| Box::pin(publish(tx, new, *before))).await
    }

    /// Takes a verdict in, once per message, and lets follow what follows; the verdict as it is kept, and whether it is new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_verdict(&self, new: NewVerdict) -> Result<(KeptVerdict, bool), StoreError> {
        self.db.write(Domain::Identity, new, |tx, new| Box::pin(take_verdict(tx, new))).await
    }

    /// Verdicts that nobody has looked into yet, newest first, or all of a player.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verdicts(&self, player: Option<PlayerId>, limit: u32) -> Result<Vec<KeptVerdict>, StoreError> {
        let sql = "SELECT vendor, message_id, player_id, match_id, verdict, outcome, reason, at_ms, resolved_at_ms
                   FROM anti_cheat_verdicts
                   WHERE ($1 IS NULL AND resolved_at_ms IS NULL AND outcome IN ('flag', 'ban')) OR player_id = $1
                   ORDER BY at_ms DESC, vendor, message_id LIMIT $2";
        self.db.all(Domain::Operations, sql, args![player, limit]).await
    }

    /// An operator has looked into a verdict; whether there is such a one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve_verdict(&self, vendor: String, message_id: String, now_ms: u64) -> Result<bool, StoreError> {
        let input = (vendor, message_id, now_ms);
        self.db
            .write(Domain::Operations, input, |tx, (vendor, message_id, now_ms)| {
                Box::pin(resolve(tx, vendor, message_id, *now_ms))
            })
            .await
    }
}

async fn publish(tx: &mut Tx, new: &LiveVersion, before: u64) -> Result<Published, StoreError> {
    let sql = "SELECT version, body, at_ms FROM live_documents ORDER BY version DESC LIMIT 1";
    let newest: Option<LiveVersion> = tx.optional(sql, args![]).await?;
    if let Some(newest) = &newest
        && newest.version == new.version
        && newest.body == new.body
    {
        // Also when this runs again because nobody knew whether it was committed.
        return Ok(Published::Done);
    }
    let newest = newest.map_or(0, |newest| newest.version);
    if newest != before || new.version <= newest {
        return Ok(Published::Stale(newest));
    }
    let sql = "INSERT INTO live_documents (version, body, at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, args![new.version, new.body, new.at_ms]).await?;
    let sql = "DELETE FROM live_documents WHERE version <= $1";
    tx.execute(sql, args![new.version.saturating_sub(VERSIONS_KEPT)]).await?;
    audit(tx, new.at_ms, "live_published", &format!("version {}", new.version), "").await?;
    Ok(Published::Done)
}

async fn take_verdict(tx: &mut Tx, new: &NewVerdict) -> Result<(KeptVerdict, bool), StoreError> {
    let known = "SELECT count(*) FROM accounts WHERE player_id = $1";
    let is_known = tx.one::<u64>(known, args![new.player]).await? > 0;
    let outcome = if is_known { new.outcome.name() } else { UNKNOWN_PLAYER };
    let sql =
        "INSERT INTO anti_cheat_verdicts (vendor, message_id, player_id, match_id, verdict, outcome, reason, at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (vendor, message_id) DO NOTHING";
    let (vendor, message_id, verdict) = (&new.vendor, &new.message_id, new.verdict.name());
    let args = args![vendor, message_id, new.player, new.match_id, verdict, outcome, new.reason, new.now_ms];
    let is_new = tx.execute(sql, args).await? == 1;
    if is_new && is_known {
        follow(tx, new).await?;
    }
    Ok((tx.one(VERDICT, args![vendor, message_id]).await?, is_new))
}

/// What follows, in the same transaction.
async fn follow(tx: &mut Tx, new: &NewVerdict) -> Result<(), StoreError> {
    let (subject, detail) = (new.player.to_string(), format!("{} message {}", new.vendor, new.message_id));
    match new.outcome {
        Outcome::Note => Ok(()),
        Outcome::Flag => audit(tx, new.now_ms, "anti_cheat_flag", &subject, &detail).await,
        Outcome::Ban(until_ms) => {
            // Who is kept out for longer already stays so.
            if barred(tx, new.player, new.now_ms).await?.is_none_or(|until| until < until_ms) {
                bar_account(tx, new.player, until_ms, new.now_ms).await?;
                let (vendor, message) = (&new.vendor, &new.message_id);
                let ban = || vec![fact::anti_cheat_ban(new.player, vendor, message, until_ms, new.now_ms)];
                tell(tx, ban).await?;
            }
            audit(tx, new.now_ms, "anti_cheat_ban", &subject, &detail).await
        }
    }
}

async fn resolve(tx: &mut Tx, vendor: &str, message_id: &str, now_ms: u64) -> Result<bool, StoreError> {
    let sql = "UPDATE anti_cheat_verdicts SET resolved_at_ms = $3
               WHERE vendor = $1 AND message_id = $2 AND resolved_at_ms IS NULL";
    if tx.execute(sql, args![vendor, message_id, now_ms]).await? == 1 {
        audit(tx, now_ms, "anti_cheat_resolved", &format!("{vendor} message {message_id}"), "").await?;
        return Ok(true);
    }
    Ok(tx.optional::<KeptVerdict>(VERDICT, args![vendor, message_id]).await?.is_some())
}
