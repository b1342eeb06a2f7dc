//! How far the provider's own list of events was read, and which orders do not go their way.

use serde::{Deserialize, Serialize};

use crate::args;
use crate::core::payment::OrderState;
use crate::db::{Domain, FromRow, Row, StoreError, Tx};
use crate::store::Store;

/// Where it is kept among the settings.
const NAME: &str = "payment_events_list";
/// How long after its end an order that nobody has paid for may still be open: the provider is asked every hour.
const OVERDUE_MS: u64 = 3 * 60 * 60 * 1_000;
/// How long money may be on its way.
const PENDING_MS: u64 = 14 * 24 * 60 * 60 * 1_000;

/// A stretch of time of the provider's list that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first second; Unix seconds.
    pub since_s: u64,
    /// Its last one; 0 while none is being read.
    pub until_s: u64,
    /// The event that was read last; those after it in the list are older.
    pub after: Option<String>,
    /// Unix milliseconds before which nobody reads on.
    next_ms: u64,
}

impl Stretch {
    /// Everything before this second was read.
    pub fn over(since_s: u64) -> Self {
        Self { since_s, until_s: 0, after: None, next_ms: 0 }
    }

    /// The same, read as far as this event.
    #[must_use]
    pub fn read_until(self, event: &str) -> Self {
        Self { after: Some(event.to_owned()), ..self }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// Orders that somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TroubledOrders {
    /// Their time is over and nobody has said what became of them.
    pub overdue: u64,
    /// The money has been on its way for two weeks.
    pub pending: u64,
    /// What was paid is not what they cost.
    pub mismatched: u64,
}

impl FromRow for TroubledOrders {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { overdue: row.get(0)?, pending: row.get(1)?, mismatched: row.get(2)? })
    }
}

impl Store {
    /// Takes it upon this instance to read the list, and nobody else for `every_ms`: the stretch that is to be read, or read on. The
    /// very first one begins `first_s` ago. `None`: it is not time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_stretch(&self, now_ms: u64, every_ms: u64, first_s: u64) -> Result<Option<Stretch>, StoreError> {
        let input = (now_ms, every_ms, first_s);
        self.database()
            .write(Domain::Operations, input, |tx, (now_ms, every_ms, first_s)| {
                Box::pin(begin(tx, *now_ms, *every_ms, *first_s))
            })
            .await
    }

    /// Notes how far it was read, if nobody else has read on meanwhile; whether that is so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn move_stretch(&self, from: &Stretch, to: &Stretch) -> Result<bool, StoreError> {
        // The pause was set when it was begun.
        let to = Stretch { next_ms: from.next_ms, ..to.clone() };
        let input = (from.text(), to.text());
        self.database()
            .write(Domain::Operations, input, |tx, (from, to)| {
                Box::pin(async move {
                    let sql = "UPDATE settings SET value = $1 WHERE name = $2 AND value IN ($3, $1)";
                    Ok(tx.execute(sql, args![to, NAME, from]).await? == 1)
                })
            })
            .await
    }

    /// Counts orders that somebody should look at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn troubled_orders(&self, now_ms: u64) -> Result<TroubledOrders, StoreError> {
        let sql = "SELECT
                   (SELECT count(*) FROM orders WHERE look_at_ms IS NOT NULL AND state = $1 AND expires_at_ms < $2),
                   (SELECT count(*) FROM orders WHERE look_at_ms IS NOT NULL AND state = $3 AND made_at_ms < $4),
                   (SELECT count(*) FROM orders WHERE state = 'mismatched')";
        let (overdue, pending) = (now_ms.saturating_sub(OVERDUE_MS), now_ms.saturating_sub(PENDING_MS));
        let args = args![OrderState::Open.name(), overdue, OrderState::Pending.name(), pending];
        self.database().one(Domain::Operations, sql, args).await
    }
}

async fn begin(tx: &mut Tx, now_ms: u64, every_ms: u64, first_s: u64) -> Result<Option<Stretch>, StoreError> {
    let kept: Option<String> = tx.optional("SELECT value FROM settings WHERE name = $1", args![NAME]).await?;
    let now_s = now_ms / 1_000;
    // What cannot be read is begun anew: that costs time and nothing else.
    let kept: Option<Stretch> = kept.and_then(|text| serde_json::from_str(&text).ok());
    let mut stretch = kept.unwrap_or_else(|| Stretch::over(now_s.saturating_sub(first_s)));
    if stretch.next_ms > now_ms && stretch.next_ms <= now_ms.saturating_add(every_ms) {
        return Ok(None);
    }
    stretch.next_ms = now_ms.saturating_add(every_ms);
    if stretch.after.is_none() {
        stretch.until_s = now_s.max(stretch.since_s);
    }
    let sql =
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, args![NAME, stretch.text()]).await?;
    Ok(Some(stretch))
}
