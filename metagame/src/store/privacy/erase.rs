//! Forgetting a player: begun in one transaction, done line by line of [`HELD`], each in one of its own, and finished with a
//! receipt. Every part may run again, so whatever interrupts an erasure, it goes on.

use protocol::id::PlayerId;
use serde_json::json;
use uuid::Uuid;

use super::held::{Erase, HELD, Held, Step};
use crate::args;
use crate::core::erasure::forget_name;
use crate::core::event::fact;
use crate::core::name::PlayerName;
use crate::core::sanction::FOR_EVER_MS;
use crate::db::{Domain, Tx};
use crate::store::acts::{Order, note};
use crate::store::events::tell;
use crate::store::sessions::bar_account;
use crate::store::vault::shred;
use crate::store::{Store, StoreError, subject};

/// Events of one page while names are taken out of them.
const EVENTS: u32 = 200;

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Whose.
    pub player: PlayerId,
    /// Its receipt, which may not be there yet.
    pub receipt_id: Uuid,
    /// Who asked for it.
    pub asked_by: String,
    /// Unix milliseconds.
    pub asked_at_ms: u64,
    /// Unix milliseconds; `None`: under way.
    pub done_at_ms: Option<u64>,
}

/// What an erasure has taken so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Rows by line, all runs together.
    pub taken: Vec<(String, u64)>,
}

/// A receipt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReceipt {
    /// Which.
    pub receipt_id: Uuid,
    /// Whose.
    pub player: PlayerId,
    /// `export` or `erasure`.
    pub kind: &'static str,
    /// JSON, as it was signed.
    pub body: String,
    /// Over the body.
    pub signature: Vec<u8>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

type ErasureRow = (PlayerId, [u8; 16], String, u64, Option<u64>);

fn erasure((player, receipt_id, asked_by, asked_at_ms, done_at_ms): ErasureRow) -> Erasure {
    Erasure { player, receipt_id: Uuid::from_bytes(receipt_id), asked_by, asked_at_ms, done_at_ms }
}

impl Store {
    /// Begins to forget a player: from now on nobody logs in, every session has ended, and the account's key is gone. Again it
    /// tells of the erasure that there is. `None`: there is no such player.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_erasure(
        &self,
        player: PlayerId,
        receipt_id: Uuid,
        order: Order,
    ) -> Result<Option<Erasure>, StoreError> {
        let input = (player, receipt_id, order);
        self.db
            .write(Domain::Identity, input, |tx, (player, receipt_id, order)| {
                Box::pin(begin(tx, *player, *receipt_id, order))
            })
            .await
    }

    /// Does all lines of [`HELD`] but those that others have to hear of: parties, and trades.
    ///
    /// # Errors
    /// [`StoreError`]; what was done stays done.
    pub async fn erase_lines(&self, player: PlayerId) -> Result<(), StoreError> {
        for held in HELD {
            if held.erase == Erase::By(Step::Boards) {
                let changed = self.remove_player_entries(player).await?;
                self.entries.tell(&changed);
            }
            self.db.write(Domain::Operations, player, |tx, player| Box::pin(erase_line(tx, held, *player))).await?;
        }
        Ok(())
    }

    /// What was taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erased(&self, player: PlayerId) -> Result<Erased, StoreError> {
        let sql = "SELECT held, taken FROM erased_rows WHERE player_id = $1 AND taken > 0 ORDER BY held";
        Ok(Erased { taken: self.db.all(Domain::Operations, sql, args![player]).await? })
    }

    /// The erasure is done, and this is its receipt; the one that is kept, if it was done before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn finish_erasure(&self, receipt: KeptReceipt) -> Result<(String, Vec<u8>), StoreError> {
        self.db
            .write(Domain::Operations, receipt, |tx, receipt| {
                Box::pin(async move {
                    let sql = "UPDATE erasures SET done_at_ms = $2 WHERE player_id = $1 AND done_at_ms IS NULL";
                    tx.execute(sql, args![receipt.player, receipt.at_ms]).await?;
                    keep(tx, receipt).await?;
                    let sql = "SELECT body, signature FROM receipts WHERE receipt_id = $1";
                    tx.one(sql, args![*receipt.receipt_id.as_bytes()]).await
                })
            })
            .await
    }

    /// Everything of a finished erasure was done once more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_done(&self, player: PlayerId, now_ms: u64) -> Result<(), StoreError> {
        let sql = "UPDATE erasures SET swept_at_ms = $2 WHERE player_id = $1";
        self.db.statement(Domain::Operations, sql, args![player, now_ms]).await.map(drop)
    }

    /// Erasures that are under way, or have to be swept once more: those asked for before then, at most 20.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_erasures(&self, sweep_before_ms: u64) -> Result<Vec<Erasure>, StoreError> {
        let sql = "SELECT player_id, receipt_id, asked_by, asked_at_ms, done_at_ms FROM erasures
                   WHERE swept_at_ms IS NULL AND (done_at_ms IS NULL OR asked_at_ms < $1) ORDER BY asked_at_ms LIMIT 20";
        let rows: Vec<ErasureRow> = self.db.all(Domain::Operations, sql, args![sweep_before_ms]).await?;
        Ok(rows.into_iter().map(erasure).collect())
    }

    /// Keeps a receipt, unless it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_receipt(&self, receipt: KeptReceipt) -> Result<(), StoreError> {
        self.db.write(Domain::Operations, receipt, |tx, receipt| Box::pin(keep(tx, receipt))).await
    }

    /// A receipt's body and signature.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receipt(&self, receipt: Uuid) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let sql = "SELECT body, signature FROM receipts WHERE receipt_id = $1";
        self.db.optional(Domain::Operations, sql, args![*receipt.as_bytes()]).await
    }
}

async fn keep(tx: &mut Tx, receipt: &KeptReceipt) -> Result<(), StoreError> {
    let KeptReceipt { receipt_id, player, kind, body, signature, at_ms } = receipt;
    let sql = "INSERT INTO receipts (receipt_id, player_id, kind, body, signature, at_ms)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (receipt_id) DO NOTHING";
    tx.execute(sql, args![*receipt_id.as_bytes(), *player, *kind, body, signature, *at_ms]).await.map(drop)
}

async fn begin(tx: &mut Tx, player: PlayerId, receipt_id: Uuid, order: &Order) -> Result<Option<Erasure>, StoreError> {
    let sql = "INSERT INTO erasures (player_id, receipt_id, asked_by, asked_at_ms)
               SELECT player_id, $2, $3, $4 FROM accounts WHERE player_id = $1 ON CONFLICT (player_id) DO NOTHING";
    let args = args![player, *receipt_id.as_bytes(), order.actor, order.at_ms];
    if tx.execute(sql, args).await? == 1 {
        let sql = "UPDATE accounts SET erased_at_ms = $2 WHERE player_id = $1";
        tx.execute(sql, args![player, order.at_ms]).await?;
        bar_account(tx, player, FOR_EVER_MS, order.at_ms).await?;
        shred(tx, player, order.at_ms).await?;
        tell(tx, || vec![fact::account_erased(player, order.at_ms)]).await?;
        // Without a note: the key that would seal it is gone.
        let order = Order { note: None, ..order.clone() };
        note(tx, &order, "erase", &subject(player), &json!({ "receipt_id": receipt_id }).to_string()).await?;
    }
    let sql = "SELECT player_id, receipt_id, asked_by, asked_at_ms, done_at_ms FROM erasures WHERE player_id = $1";
    Ok(tx.optional(sql, args![player]).await?.map(erasure))
}

async fn erase_line(tx: &mut Tx, held: &Held, player: PlayerId) -> Result<(), StoreError> {
    let name = PlayerName::default_for(player);
    let taken = match held.erase {
        Erase::Statement(sql) => tx.execute(sql, vec![held.value(player)]).await?,
        Erase::Kept(_) | Erase::By(Step::Trades | Step::Party | Step::Boards) => 0,
        Erase::By(Step::Events) => forget_in_events(tx, player, name.as_str()).await?,
        Erase::By(Step::Names) => {
            let sql = "UPDATE match_players SET name = $2 WHERE player_id = $1 AND name NOT IN ('', $2)";
            tx.execute(sql, args![player, name]).await?
        }
        Erase::By(Step::Account) => {
            let sql = "UPDATE accounts SET name = $2, version = version + 1, created_at_ms = 0, xp = 0, matches = 0,
                       wins = 0 WHERE player_id = $1 AND erased_at_ms IS NOT NULL AND name <> $2";
            tx.execute(sql, args![player, name]).await?
        }
    };
    let sql = "INSERT INTO erased_rows (player_id, held, taken) VALUES ($1, $2, $3)
               ON CONFLICT (player_id, held) DO UPDATE SET taken = erased_rows.taken + excluded.taken";
    tx.execute(sql, args![player, line_name(held), taken]).await.map(drop)
}

/// How receipts name a line.
fn line_name(held: &Held) -> String {
    format!("{}.{}", held.table, held.column)
}

/// Gives the player the name of nobody in the bodies of events of its matches, delivered or not.
async fn forget_in_events(tx: &mut Tx, player: PlayerId, name: &str) -> Result<u64, StoreError> {
    let (mut last, mut changed) = (0_u64, 0);
    let id = player.to_string();
    loop {
        let sql = "SELECT sequence, body FROM outbox
                   WHERE sequence > $2 AND match_id IN (SELECT match_id FROM match_players WHERE player_id = $1)
                   ORDER BY sequence LIMIT $3";
        let page: Vec<(u64, String)> = tx.all(sql, args![player, last, EVENTS]).await?;
        let Some((end, _)) = page.last() else { return Ok(changed) };
        last = *end;
        for (sequence, body) in &page {
            let Some(body) = forget_name(body, &id, name) else { continue };
            tx.execute("UPDATE outbox SET body = $2 WHERE sequence = $1", args![*sequence, body]).await?;
            changed += 1;
        }
    }
}
