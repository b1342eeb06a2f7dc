//! What the payment provider says, as it comes: twice, late, in any order. An event is written once, in the transaction of what follows
//! from it; what follows is decided by [`crate::core::payment`].

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::books::{self, Posted};
use super::orders::{COLUMNS, Order};
use crate::args;
use crate::core::event::fact;
use crate::core::inventory::{Item, ItemId, items};
use crate::core::ledger::{Account, Entry};
use crate::core::payment::position::GoodsMove;
use crate::core::payment::{Due, Event, News, OrderState};
use crate::db::{Domain, StoreError, Tx};
use crate::store::Store;
use crate::store::audit::audit;
use crate::store::events::tell;
use crate::store::inventory::stock;
use crate::store::social::inbox::{NewMessage, put};

/// How long events are kept: longer than a bank may take to ask for money back.
pub const PAYMENT_EVENT_LIFE_MS: u64 = 400 * 24 * 60 * 60 * 1_000;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was news, and everything that follows from it is done.
    Done(OrderState),
    /// It said nothing new.
    Known,
    /// It came before.
    Before,
    /// It is of no order that is known, now; if it is of one, it counts when that is known.
    Waits,
}

impl Store {
    /// Hears an event of the provider, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hear_payment(&self, event: Event, now_ms: u64) -> Result<Heard, StoreError> {
        let input = (event, now_ms);
        self.database().write(Domain::Economy, input, |tx, (event, now_ms)| Box::pin(hear(tx, event, *now_ms))).await
    }

    /// Hears what the provider says of an order when it is asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hear_of_order(
        &self,
        order: Uuid,
        intent: Option<String>,
        news: News,
        now_ms: u64,
    ) -> Result<Heard, StoreError> {
        let input = (order, intent, news, now_ms);
        self.database()
            .write(Domain::Economy, input, |tx, (order, intent, news, now_ms)| {
                Box::pin(async move {
                    let told = [(news.clone(), *now_ms / 1_000)];
                    concern(tx, *order, intent.as_deref(), &told, *now_ms).await
                })
            })
            .await
    }
}

async fn hear(tx: &mut Tx, event: &Event, now_ms: u64) -> Result<Heard, StoreError> {
    let order = find(tx, event).await?;
    let sql = "INSERT INTO payment_events (event_id, kind, happened_at_s, payment_intent, order_id, news, at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING";
    let news = serde_json::to_string(&event.news).expect("plain data");
    let order_id = order.map(|order| *order.as_bytes());
    let args = args![event.id, event.kind, event.at_s, event.intent, order_id, news, now_ms];
    if tx.execute(sql, args).await? == 0 {
        return Ok(Heard::Before);
    }
    let Some(order) = order else { return Ok(Heard::Waits) };
    concern(tx, order, event.intent.as_deref(), &[(event.news.clone(), event.at_s)], now_ms).await
}

/// The order that an event concerns: by what it says itself, or by its payment.
async fn find(tx: &mut Tx, event: &Event) -> Result<Option<Uuid>, StoreError> {
    if let Some(order) = event.order {
        let sql = "SELECT order_id FROM orders WHERE order_id = $1";
        let known: Option<[u8; 16]> = tx.optional(sql, args![*order.as_bytes()]).await?;
        return Ok(known.map(Uuid::from_bytes));
    }
    let Some(intent) = &event.intent else { return Ok(None) };
    let sql = "SELECT order_id FROM orders WHERE payment_intent = $1";
    let known: Option<[u8; 16]> = tx.optional(sql, args![intent]).await?;
    Ok(known.map(Uuid::from_bytes))
}

/// Adds news to an order, and whatever has waited for its payment to be known; then moves what has to move.
async fn concern(
    tx: &mut Tx,
    order: Uuid,
    intent: Option<&str>,
    told: &[(News, u64)],
    now_ms: u64,
) -> Result<Heard, StoreError> {
    let Some(mut order) = tx.optional::<Order>(COLUMNS, args![*order.as_bytes()]).await? else {
        return Ok(Heard::Waits);
    };
    let before = (order.facts.clone(), order.intent.clone());
    for (news, at_s) in told {
        order.facts.add(news, *at_s);
    }
    if let Some(intent) = intent {
        order.intent.get_or_insert_with(|| intent.to_owned());
        for (news, at_s) in claim_waiting(tx, &order, intent).await? {
            order.facts.add(&news, at_s);
        }
    }
    let due = order.facts.due(&order.price);
    if before == (order.facts.clone(), order.intent.clone()) && order.position.is_given == due.is_paid {
        return Ok(Heard::Known);
    }
    count_right(tx, &mut order, due.state).await?;
    move_to(tx, &mut order, &due, now_ms).await?;
    keep(tx, &order, due.state).await?;
    if before.0 != order.facts {
        let facts = serde_json::to_string(&order.facts).expect("plain data");
        tell(tx, || vec![fact::order_changed(order.fact(), &due, &facts, now_ms)]).await?;
    }
    let message = NewMessage {
        key: format!("order:{}:{}:{}", order.order_id, due.state.name(), order.entries),
        kind: "order",
        sender: None,
        body: json!({ "order_id": order.order_id, "state": due.state.name() }),
        at_ms: now_ms,
    };
    put(tx, order.player, &message).await?;
    Ok(Heard::Done(due.state))
}

/// Events of this payment that came before anybody knew whose it is.
async fn claim_waiting(tx: &mut Tx, order: &Order, intent: &str) -> Result<Vec<(News, u64)>, StoreError> {
    let sql = "SELECT news, happened_at_s FROM payment_events WHERE payment_intent = $1 AND order_id IS NULL";
    let waiting: Vec<(String, u64)> = tx.all(sql, args![intent]).await?;
    if !waiting.is_empty() {
        let sql = "UPDATE payment_events SET order_id = $1 WHERE payment_intent = $2 AND order_id IS NULL";
        tx.execute(sql, args![*order.order_id.as_bytes(), intent]).await?;
    }
    let read = |(news, at_s): (String, u64)| match serde_json::from_str(&news) {
        Ok(news) => Ok((news, at_s)),
        Err(error) => Err(StoreError::Unreadable(format!("an event of a payment: {error}"))),
    };
    waiting.into_iter().map(read).collect()
}

/// What nobody will pay for any more is free for others; money that arrives all the same counts.
async fn count_right(tx: &mut Tx, order: &mut Order, state: OrderState) -> Result<(), StoreError> {
    let is_due = state != OrderState::Closed;
    if order.is_counted == is_due {
        return Ok(());
    }
    let quantity = i64::try_from(order.quantity).unwrap_or(i64::MAX);
    let change = if is_due { quantity } else { -quantity };
    // Both only where they are counted at all, and a limit only within its period.
    let sql = "UPDATE offer_counts SET count = count + $1
               WHERE player_id = $2 AND offer = $3 AND period_begin_ms = $4 AND count + $1 >= 0";
    tx.execute(sql, args![change, order.player, order.offer, order.period_begin_ms]).await?;
    let sql = "UPDATE offer_stock SET sold = sold + $1 WHERE offer = $2 AND sold + $1 >= 0";
    tx.execute(sql, args![change, order.offer]).await?;
    order.is_counted = is_due;
    Ok(())
}

/// Brings books and inventory to what is due.
async fn move_to(tx: &mut Tx, order: &mut Order, due: &Due, now_ms: u64) -> Result<(), StoreError> {
    let (player, mine) = (order.player, Account::from(order.player));
    let cause = format!("payment:{}:{}", order.order_id, order.entries + 1);
    let mut entry = Entry::new(cause, "stripe".to_owned(), now_ms);
    entry.may_owe = true;
    let mut position = order.position.clone();
    position.move_currencies(&order.gives, due, mine, &mut entry);
    if due.is_paid && !position.is_given {
        position.make(items(player, &entry.id(), now_ms, &order.gives.goods_at(now_ms)));
    }
    let ids: Vec<ItemId> = position.goods.iter().map(|part| part.made.item_id).collect();
    let held: BTreeMap<ItemId, u64> = match ids.is_empty() {
        true => BTreeMap::new(),
        false => {
            let held = stock::find(tx, player, &ids, now_ms).await?;
            held.into_iter().map(|item| (item.item_id, item.quantity)).collect()
        }
    };
    let moves = position.move_goods(due, |id| held.get(&id).copied().unwrap_or(0), mine, &mut entry);
    let with = |quantity: fn(&GoodsMove) -> u64| -> Vec<Item> {
        let parts = position.goods.iter().zip(&moves).filter(|(_, moved)| quantity(moved) > 0);
        parts.map(|(part, moved)| Item { quantity: quantity(moved), ..part.made.clone() }).collect()
    };
    let (given, taken) = (with(|moved| moved.give), with(|moved| moved.take));
    if entry.lines.is_empty() && given.is_empty() && taken.is_empty() {
        order.position = position;
        return note_fault(tx, order, due, now_ms).await;
    }
    entry.detail = json!({ "order": order.order_id, "offer": order.offer, "state": due.state.name(), "given": given, "taken": taken })
        .to_string();
    let booked = match books::post(tx, &entry).await? {
        Posted::Now(booked) => booked,
        Posted::Refused(fault) => {
            // The facts stay: the next word, or the next look, tries again.
            return audit(tx, now_ms, "payment_refused", &order.order_id.to_string(), &fault.to_string()).await;
        }
    };
    let wanted: Vec<_> = taken.iter().map(|item| (item.item_id, item.quantity)).collect();
    if stock::take(tx, player, &wanted, now_ms).await?.is_err() {
        return Err(StoreError::Failed("an inventory has changed within a transaction".to_owned()));
    }
    stock::put(tx, player, &given).await?;
    for debt in
        booked.postings.iter().filter(|posting| posting.account == mine && posting.balance < 0 && posting.amount < 0)
    {
        let detail = format!("{} owes {} {}", player, -debt.balance, debt.currency);
        audit(tx, now_ms, "payment_owed", &order.order_id.to_string(), &detail).await?;
    }
    (order.position, order.entries) = (position, order.entries + 1);
    note_fault(tx, order, due, now_ms).await
}

/// What somebody has to look at.
async fn note_fault(tx: &mut Tx, order: &Order, due: &Due, now_ms: u64) -> Result<(), StoreError> {
    let kind = match due.state {
        OrderState::Mismatched => "payment_mismatched",
        OrderState::Disputed => "payment_disputed",
        OrderState::Lost => "payment_lost",
        _ => return Ok(()),
    };
    let detail = format!("{} costs {} {}, {} was paid", order.offer, order.price.amount, order.price.money, due.total);
    audit(tx, now_ms, kind, &order.order_id.to_string(), &detail).await
}

async fn keep(tx: &mut Tx, order: &Order, state: OrderState) -> Result<(), StoreError> {
    let sql =
        "UPDATE orders SET facts = $1, position = $2, state = $3, entries = $4, counted = $5, payment_intent = $6,
                   look_at_ms = CASE WHEN $7 = 1 THEN look_at_ms ELSE NULL END
               WHERE order_id = $8";
    let args = args![
        serde_json::to_string(&order.facts).expect("plain data"),
        serde_json::to_string(&order.position).expect("plain data"),
        state.name(),
        order.entries,
        order.is_counted,
        order.intent,
        state.is_waiting(),
        *order.order_id.as_bytes(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Removes events that nothing can follow from any more.
pub(crate) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    let before_ms = now_ms.saturating_sub(PAYMENT_EVENT_LIFE_MS);
    tx.execute("DELETE FROM payment_events WHERE at_ms < $1", args![before_ms]).await.map(drop)
}
