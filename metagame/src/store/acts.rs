//! The log of privileged acts: each is noted in the transaction that does it, and hashed onto the one before.

use super::{Store, StoreError};
use crate::args;
use crate::core::act::{Act, ActsVerified};
use crate::db::{Domain, FromRow, Row, Tx};

/// Entries of one page while the log is checked.
const PAGE: u32 = 2_000;

/// What somebody with privilege has ordered: who, why, and in which request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Who: `operator:<name>`, `player:<id>`, `system`, or `admin-port`.
    pub actor: String,
    /// Why, as a code; may be empty where the act says it.
    pub reason: String,
    /// Words of the operator, sealed under the key of the player whom they concern.
    pub note: Option<Vec<u8>>,
    /// Names the request in the server's logs; no other request has it.
    pub request_id: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// Which entries of the log.
#[derive(Debug, Clone, Default)]
pub struct ActFilter {
    /// Those with smaller numbers.
    pub before: Option<u64>,
    /// Those done to this.
    pub subject: Option<String>,
    /// How many.
    pub limit: u32,
}

/// Its columns are those of `COLUMNS`.
impl FromRow for Act {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.get(0)?,
            at_ms: row.get(1)?,
            actor: row.get(2)?,
            act: row.get(3)?,
            subject: row.get(4)?,
            reason: row.get(5)?,
            note: row.get(6)?,
            detail: row.get(7)?,
            request_id: row.get(8)?,
            hash: row.get(9)?,
        })
    }
}

const NEWEST: &str = "SELECT number, hash FROM acts ORDER BY number DESC LIMIT 1";
const AFTER: &str = "\
    SELECT number, at_ms, actor, act, subject, reason, note, detail, request_id, hash FROM acts
    WHERE number > $1 ORDER BY number LIMIT $2";
const BEFORE: &str = "\
    SELECT number, at_ms, actor, act, subject, reason, note, detail, request_id, hash FROM acts
    WHERE number < $1 ORDER BY number DESC LIMIT $2";
const OF_SUBJECT: &str = "\
    SELECT number, at_ms, actor, act, subject, reason, note, detail, request_id, hash FROM acts
    WHERE number < $1 AND subject = $3 ORDER BY number DESC LIMIT $2";

impl Store {
    /// Entries of the log, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acts(&self, filter: ActFilter) -> Result<Vec<Act>, StoreError> {
        let before = filter.before.unwrap_or(u64::MAX);
        match filter.subject {
            Some(subject) => self.db.all(Domain::Operations, OF_SUBJECT, args![before, filter.limit, subject]).await,
            None => self.db.all(Domain::Operations, BEFORE, args![before, filter.limit]).await,
        }
    }

    /// Notes an act that changes nothing in the database, or that has been done elsewhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_act(
        &self,
        order: Order,
        act: &'static str,
        subject: String,
        detail: String,
    ) -> Result<(), StoreError> {
        self.db
            .write(Domain::Operations, (order, subject, detail), move |tx, (order, subject, detail)| {
                Box::pin(note(tx, order, act, subject, detail))
            })
            .await
    }

    /// Computes every hash of the log again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_acts(&self) -> Result<ActsVerified, StoreError> {
        let mut verified = ActsVerified::default();
        let mut last = 0_u64;
        loop {
            let page: Vec<Act> = self.db.all(Domain::Operations, AFTER, args![last, PAGE]).await?;
            let Some(end) = page.last() else { return Ok(verified) };
            last = end.number;
            page.iter().for_each(|act| verified.take(act));
        }
    }
}

/// Notes an act, within the transaction that does it. One request notes an act on a subject once, however often it runs.
pub(crate) async fn note(tx: &mut Tx, order: &Order, act: &str, subject: &str, detail: &str) -> Result<(), StoreError> {
    let sql = "SELECT number FROM acts WHERE request_id = $1 AND act = $2 AND subject = $3 LIMIT 1";
    let noted: Option<u64> = tx.optional(sql, args![order.request_id, act, subject]).await?;
    if noted.is_some() {
        return Ok(());
    }
    let (last, before): (u64, [u8; 32]) = tx.optional(NEWEST, args![]).await?.unwrap_or((0, [0; 32]));
    let mut entry = Act {
        number: last + 1,
        at_ms: order.at_ms,
        actor: order.actor.clone(),
        act: act.to_owned(),
        subject: subject.to_owned(),
        reason: order.reason.clone(),
        note: order.note.clone(),
        detail: detail.to_owned(),
        request_id: order.request_id.clone(),
        hash: [0; 32],
    };
    entry.hash = entry.hash_after(&before);
    tx.execute(
        "INSERT INTO acts (number, at_ms, actor, act, subject, reason, note, detail, request_id, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        args![
            entry.number,
            entry.at_ms,
            entry.actor,
            entry.act,
            entry.subject,
            entry.reason,
            entry.note,
            entry.detail,
            entry.request_id,
            entry.hash
        ],
    )
    .await?;
    // Outside the database too: who cuts off the end of the log leaves a newest hash that this line contradicts.
    tracing::info!(number = entry.number, actor = entry.actor, act, subject, hash = hex::encode(entry.hash), "act");
    Ok(())
}
