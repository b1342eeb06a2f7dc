//! Trades: each word of a player is a transaction, an entry of the books, and once per key.

use std::sync::Arc;

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::stock::{self, Missing};
use crate::args;
use crate::core::catalog::{Catalog, CurrencyKind};
use crate::core::inventory::{Item, ItemId, handed};
use crate::core::ledger::{Account, Entry, LedgerFault, System, book, journal_id};
use crate::core::trade::{TRADE_LIFE_MS, TradeFault, TradeState, TradeStep, TradeWord, step};
use crate::db::{Domain, FromRow, Row, StoreError, Tx};
use crate::idempotency::{Keyed, Reply, claim, settle};
use crate::store::Store;
use crate::store::economy::books::{self, Posted};

/// Most trades that are ended in one go.
const END_MAX: u32 = 100;

/// What a player puts into a trade.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Side {
    /// Items and how many of each.
    pub items: Vec<(ItemId, u64)>,
    /// Soft currencies and how much of each: bought ones can be taken back by a bank, and then somebody else would have them.
    pub currencies: Vec<(String, u64)>,
}

/// What is in escrow of a side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Items, as they were taken.
    pub items: Vec<Item>,
    /// Currencies and how much of each.
    pub currencies: Vec<(String, u64)>,
}

/// A trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// Which.
    pub trade_id: Uuid,
    /// Who offers.
    pub from: PlayerId,
    /// To whom.
    pub to: PlayerId,
    /// Where it is on its way.
    pub state: TradeState,
    /// What the offering player puts in.
    pub gives: Held,
    /// What the other puts in.
    pub takes: Held,
    /// Unix milliseconds until which the next word is waited for.
    pub until_ms: u64,
}

/// What becomes of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traded {
    /// This is the trade now.
    Now(Trade),
    /// There is no such trade of this player.
    NoTrade,
    /// There is no such player to trade with.
    NoPlayer,
    /// The player does not have it.
    Missing(Missing),
    /// This cannot be traded.
    NotPossible(&'static str),
    /// It takes money that is not there.
    Money(LedgerFault),
    /// It is not the moment.
    Fault(TradeFault),
}

const COLUMNS: &str = "\
    SELECT trade_id, from_player, to_player, state, gives, takes, until_ms FROM trades WHERE trade_id = $1";

/// Its columns are those of `COLUMNS`.
impl FromRow for Trade {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let unreadable = |error: String| StoreError::Unreadable(format!("a trade: {error}"));
        let held = |text: String| serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()));
        let state: String = row.get(3)?;
        Ok(Self {
            trade_id: Uuid::from_bytes(row.get(0)?),
            from: row.get(1)?,
            to: row.get(2)?,
            state: TradeState::ALL.into_iter().find(|one| one.name() == state).ok_or_else(|| unreadable(state))?,
            gives: held(row.get(4)?)?,
            takes: held(row.get(5)?)?,
            until_ms: row.get(6)?,
        })
    }
}

impl Store {
    /// Offers a trade, once per key; what the player gives is in escrow from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn offer_trade(&self, keyed: Keyed<Traded>, to: PlayerId, gives: Side) -> Result<Reply, StoreError> {
        let input = (keyed, to, gives, Arc::clone(self.catalog()));
        self.database()
            .write(Domain::Economy, input, |tx, (keyed, to, gives, catalog)| {
                Box::pin(async move {
                    if let Some(reply) = claim(tx, keyed).await? {
                        return Ok(reply);
                    }
                    let traded = offer(tx, keyed, *to, gives, catalog).await?;
                    settle(tx, keyed, &traded).await
                })
            })
            .await
    }

    /// Says a word to a trade, once per key; with `Accept` comes the other side.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn say_to_trade(
        &self,
        keyed: Keyed<Traded>,
        trade: Uuid,
        word: TradeWord,
        takes: Side,
    ) -> Result<Reply, StoreError> {
        let input = (keyed, trade, word, takes, Arc::clone(self.catalog()));
        self.database()
            .write(Domain::Economy, input, |tx, (keyed, trade, word, takes, catalog)| {
                Box::pin(async move {
                    if let Some(reply) = claim(tx, keyed).await? {
                        return Ok(reply);
                    }
                    let traded = say(tx, keyed, *trade, *word, takes, catalog).await?;
                    settle(tx, keyed, &traded).await
                })
            })
            .await
    }

    /// A trade, if the player has a side in it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trade(&self, trade: Uuid, player: PlayerId) -> Result<Option<Trade>, StoreError> {
        let found: Option<Trade> = self.database().optional(Domain::Economy, COLUMNS, args![*trade.as_bytes()]).await?;
        Ok(found.filter(|trade| [trade.from, trade.to].contains(&player)))
    }

    /// A player's trades that wait for a word, the newest first, at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_trades(&self, player: PlayerId) -> Result<Vec<Trade>, StoreError> {
        let sql = "SELECT trade_id, from_player, to_player, state, gives, takes, until_ms FROM trades
                   WHERE (from_player = $1 OR to_player = $1) AND state IN ('offered', 'accepted')
                   ORDER BY until_ms DESC, trade_id LIMIT 100";
        self.database().all(Domain::Economy, sql, args![player]).await
    }

    /// Ends a player's open trades, and gives back what is in escrow.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_trades_of(&self, player: PlayerId, now_ms: u64) -> Result<(), StoreError> {
        loop {
            let open = self.open_trades(player).await?;
            if open.is_empty() {
                return Ok(());
            }
            for trade in open {
                let input = (*trade.trade_id.as_bytes(), now_ms);
                self.database()
                    .write(Domain::Economy, input, |tx, (id, now_ms)| Box::pin(withdraw(tx, *id, *now_ms)))
                    .await?;
            }
        }
    }

    /// Ends trades whose time is over, and gives back what is in escrow. How many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_trades(&self, now_ms: u64) -> Result<u64, StoreError> {
        let sql = "SELECT trade_id FROM trades WHERE state IN ('offered', 'accepted') AND until_ms <= $1 LIMIT $2";
        let over: Vec<[u8; 16]> = self.database().all(Domain::Operations, sql, args![now_ms, END_MAX]).await?;
        let count = over.len() as u64;
        for id in over {
            self.database()
                .write(Domain::Operations, (id, now_ms), |tx, (id, now_ms)| Box::pin(time_out(tx, *id, *now_ms)))
                .await?;
        }
        Ok(count)
    }
}

async fn withdraw(tx: &mut Tx, id: [u8; 16], now_ms: u64) -> Result<(), StoreError> {
    let trade: Trade = tx.one(COLUMNS, args![id]).await?;
    if trade.state.is_open() {
        give_back(tx, trade, TradeState::Cancelled, "system".into(), now_ms).await?;
    }
    Ok(())
}

async fn time_out(tx: &mut Tx, id: [u8; 16], now_ms: u64) -> Result<(), StoreError> {
    let trade: Trade = tx.one(COLUMNS, args![id]).await?;
    if trade.state.is_open() && now_ms >= trade.until_ms {
        give_back(tx, trade, TradeState::TimedOut, "system".into(), now_ms).await?;
    }
    Ok(())
}

async fn offer(
    tx: &mut Tx,
    keyed: &Keyed<Traded>,
    to: PlayerId,
    gives: &Side,
    catalog: &Catalog,
) -> Result<Traded, StoreError> {
    if to == keyed.account {
        return Ok(Traded::NotPossible("a trade is with somebody else"));
    }
    let known: Option<u64> =
        tx.optional("SELECT 1 FROM accounts WHERE player_id = $1 AND erased_at_ms IS NULL", args![to]).await?;
    if known.is_none() {
        return Ok(Traded::NoPlayer);
    }
    let id = journal_id(&format!("trade:{}:{}", keyed.account, keyed.key));
    let gives = match take_in(tx, keyed, id, "offer", gives, catalog).await? {
        Ok(held) => held,
        Err(refused) => return Ok(refused),
    };
    let trade = Trade {
        trade_id: Uuid::from_bytes(id),
        from: keyed.account,
        to,
        state: TradeState::Offered,
        gives,
        takes: Held::default(),
        until_ms: keyed.now_ms.saturating_add(TRADE_LIFE_MS),
    };
    let sql = "INSERT INTO trades (trade_id, from_player, to_player, state, gives, takes, until_ms, made_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (gives, takes) = (json!(trade.gives).to_string(), json!(trade.takes).to_string());
    let args = args![id, trade.from, to, trade.state.name(), gives, takes, trade.until_ms, keyed.now_ms];
    tx.execute(sql, args).await?;
    Ok(Traded::Now(trade))
}

async fn say(
    tx: &mut Tx,
    keyed: &Keyed<Traded>,
    id: Uuid,
    word: TradeWord,
    takes: &Side,
    catalog: &Catalog,
) -> Result<Traded, StoreError> {
    let found: Option<Trade> = tx.optional(COLUMNS, args![*id.as_bytes()]).await?;
    let Some(mut trade) = found.filter(|trade| [trade.from, trade.to].contains(&keyed.account)) else {
        return Ok(Traded::NoTrade);
    };
    let (who, now_ms) = (keyed.account, keyed.now_ms);
    let actor = format!("player:{who}");
    match step(trade.state, (trade.from, trade.to), trade.until_ms, word, who, now_ms) {
        Err(fault) => return Ok(Traded::Fault(fault)),
        Ok(TradeStep::TakeIn) => {
            trade.takes = match take_in(tx, keyed, *id.as_bytes(), "accept", takes, catalog).await? {
                Ok(held) => held,
                Err(refused) => return Ok(refused),
            };
            trade.until_ms = now_ms.saturating_add(TRADE_LIFE_MS);
            note(tx, &mut trade, TradeState::Accepted).await?;
        }
        Ok(TradeStep::Cross) => {
            let (from, to) = (trade.from, trade.to);
            let over = |held: &Held, from, to| Held {
                items: held.items.iter().map(|item| handed(item, from, to)).collect(),
                currencies: held.currencies.clone(),
            };
            let (gives, takes) = (over(&trade.gives, from, to), over(&trade.takes, to, from));
            hand_out(tx, &trade, [(to, &gives), (from, &takes)], actor, now_ms).await?;
            note(tx, &mut trade, TradeState::Settled).await?;
        }
        Ok(TradeStep::GiveBack(end)) => trade = give_back(tx, trade, end, actor, now_ms).await?,
    }
    Ok(Traded::Now(trade))
}

async fn give_back(
    tx: &mut Tx,
    mut trade: Trade,
    end: TradeState,
    actor: String,
    now_ms: u64,
) -> Result<Trade, StoreError> {
    hand_out(tx, &trade, [(trade.from, &trade.gives), (trade.to, &trade.takes)], actor, now_ms).await?;
    note(tx, &mut trade, end).await?;
    Ok(trade)
}

async fn note(tx: &mut Tx, trade: &mut Trade, state: TradeState) -> Result<(), StoreError> {
    trade.state = state;
    let sql = "UPDATE trades SET state = $1, takes = $2, until_ms = $3 WHERE trade_id = $4";
    let takes = json!(trade.takes).to_string();
    tx.execute(sql, args![state.name(), takes, trade.until_ms, *trade.trade_id.as_bytes()]).await.map(drop)
}

/// Takes a side into escrow: all of it, or nothing. Everything is asked before anything is written, because a refusal is
/// committed with its key.
async fn take_in(
    tx: &mut Tx,
    keyed: &Keyed<Traded>,
    trade: [u8; 16],
    word: &str,
    side: &Side,
    catalog: &Catalog,
) -> Result<Result<Held, Traded>, StoreError> {
    let (player, now_ms) = (keyed.account, keyed.now_ms);
    let soft = |id: &String| catalog.currencies.get(id).is_some_and(|currency| currency.kind == CurrencyKind::Soft);
    if !side.currencies.iter().all(|(currency, _)| soft(currency)) {
        return Ok(Err(Traded::NotPossible("only currencies that are earned can be traded")));
    }
    let ids: Vec<ItemId> = side.items.iter().map(|(id, _)| *id).collect();
    let tradable = |item: &Item| catalog.items.get(&item.definition).is_some_and(|definition| definition.tradable);
    if !stock::find(tx, player, &ids, now_ms).await?.iter().all(tradable) {
        return Ok(Err(Traded::NotPossible("one of the items cannot be given away")));
    }
    let cause = format!("trade:{}:{word}", Uuid::from_bytes(trade));
    let mut entry = Entry::new(cause, format!("player:{player}"), now_ms);
    for (currency, amount) in &side.currencies {
        let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
        entry.transfer(player.into(), System::Escrow.account(), currency, amount);
    }
    let wallets = books::wallets_of(tx, &entry).await?;
    if let Err(fault) = book(&entry, &wallets) {
        return Ok(Err(Traded::Money(fault)));
    }
    let items = match stock::take(tx, player, &side.items, now_ms).await? {
        Ok(items) => items,
        Err(missing) => return Ok(Err(Traded::Missing(missing))),
    };
    entry.detail = json!({ "taken": items }).to_string();
    enter(tx, &entry).await?;
    Ok(Ok(Held { items, currencies: side.currencies.clone() }))
}

/// Empties the escrow of a trade: to each player what is named.
async fn hand_out(
    tx: &mut Tx,
    trade: &Trade,
    hands: [(PlayerId, &Held); 2],
    actor: String,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut entry = Entry::new(format!("trade:{}:end", trade.trade_id), actor, now_ms);
    for (player, held) in hands {
        for (currency, amount) in &held.currencies {
            let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
            entry.transfer(System::Escrow.account(), Account::from(player), currency, amount);
        }
        stock::put(tx, player, &held.items).await?;
    }
    entry.detail = json!({ "hands": hands.map(|(to, held)| json!({ "to": to, "items": held.items })) }).to_string();
    enter(tx, &entry).await
}

async fn enter(tx: &mut Tx, entry: &Entry) -> Result<(), StoreError> {
    match books::post(tx, entry).await? {
        Posted::Now(_) => Ok(()),
        Posted::Refused(fault) => Err(StoreError::Failed(format!("a trade's entry is refused: {fault}"))),
    }
}
