//! Orders that are paid with money of the world, from their making to where the player pays. What the provider says of them is in
//! [`super::payments`].

use std::sync::Arc;

use protocol::id::PlayerId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::purchase::{Purchased, count, gives, refusal, region_for};
use crate::args;
use crate::core::catalog::offer::{NotSold, Tender};
use crate::core::catalog::{Catalog, Offer, Part};
use crate::core::event::fact;
use crate::core::payment::{Facts, Gives, GoodsShare, OrderState, Position, Price};
use crate::db::{Domain, FromRow, Row, StoreError, Tx};
use crate::store::Store;
use crate::store::events::tell;

/// Most orders of a player that wait for money: each holds a place in limit and stock.
pub const OPEN_MAX: u64 = 5;
/// How long the provider is left alone with a new order: mostly it tells by itself.
pub(crate) const FIRST_LOOK_MS: u64 = 3 * 60 * 1_000;

/// What a player wants to order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Who.
    pub player: PlayerId,
    /// The player's key for this order.
    pub key: String,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// Which offer.
    pub offer: String,
    /// How many of it, from 1.
    pub quantity: u64,
    /// Paid in which money; `None`: the offer's first.
    pub money: Option<String>,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// How long the player has to pay, in milliseconds.
    pub life_ms: u64,
}

impl NewOrder {
    /// The order's id: the same for the same player and key.
    pub fn order_id(&self) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(b"muster-order-1");
        hash.update(self.player.to_bytes());
        hash.update(&self.key);
        let hash: [u8; 32] = hash.finalize().into();
        uuid::Builder::from_random_bytes(hash[..16].try_into().expect("16 of 32 bytes")).into_uuid()
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub order_id: Uuid,
    /// Whose.
    pub player: PlayerId,
    /// SHA-256 of the request that made it.
    pub request_hash: [u8; 32],
    /// Which offer.
    pub offer: String,
    /// How many of it.
    pub quantity: u64,
    /// The price of all of it.
    pub price: Price,
    /// What it gives.
    pub gives: Gives,
    /// What is known of its payment.
    pub facts: Facts,
    /// Where its goods are.
    pub position: Position,
    /// Entries of the books so far.
    pub entries: u64,
    /// Whether it counts against limit and stock.
    pub is_counted: bool,
    /// Begin of the period in which it does, Unix milliseconds.
    pub period_begin_ms: u64,
    /// The provider's session.
    pub session: Option<String>,
    /// Where the player pays.
    pub url: Option<String>,
    /// The provider's payment.
    pub intent: Option<String>,
    /// Calls to the provider that it has answered with a failure.
    pub failures: u64,
    /// Unix milliseconds.
    pub made_at_ms: u64,
    /// Unix milliseconds until which it can be paid.
    pub expires_at_ms: u64,
    /// How often the provider was asked.
    pub looks: u64,
}

impl Order {
    /// How it does.
    pub fn state(&self) -> OrderState {
        self.facts.due(&self.price).state
    }

    /// What others are told of it.
    pub(super) fn fact(&self) -> fact::Ordered<'_> {
        let Self { player, order_id, offer, quantity, price, .. } = self;
        fact::Ordered { player: *player, order_id: *order_id, offer, quantity: *quantity, price }
    }
}

pub(super) const COLUMNS: &str = "\
    SELECT order_id, player_id, request_hash, offer, quantity, money, amount, gives, facts, position, entries, counted,
           period_begin_ms, session_id, session_url, payment_intent, failures, made_at_ms, expires_at_ms, looks
    FROM orders WHERE order_id = $1";
const OF_PLAYER: &str = "\
    SELECT order_id, player_id, request_hash, offer, quantity, money, amount, gives, facts, position, entries, counted,
           period_begin_ms, session_id, session_url, payment_intent, failures, made_at_ms, expires_at_ms, looks
    FROM orders WHERE player_id = $1 ORDER BY made_at_ms DESC, order_id LIMIT $2";
const TO_LOOK_AT: &str = "\
    SELECT order_id, player_id, request_hash, offer, quantity, money, amount, gives, facts, position, entries, counted,
           period_begin_ms, session_id, session_url, payment_intent, failures, made_at_ms, expires_at_ms, looks
    FROM orders WHERE look_at_ms <= $1 ORDER BY look_at_ms LIMIT $2";

/// Its columns are those of `COLUMNS`.
impl FromRow for Order {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
            serde_json::from_str(text).map_err(|error| StoreError::Unreadable(format!("an order: {error}")))
        }
        Ok(Self {
            order_id: Uuid::from_bytes(row.get(0)?),
            player: row.get(1)?,
            request_hash: row.get(2)?,
            offer: row.get(3)?,
            quantity: row.get(4)?,
            price: Price { money: row.get(5)?, amount: row.get(6)? },
            gives: json(&row.get::<String>(7)?)?,
            facts: json(&row.get::<String>(8)?)?,
            position: json(&row.get::<String>(9)?)?,
            entries: row.get(10)?,
            is_counted: row.get(11)?,
            period_begin_ms: row.get(12)?,
            session: row.get(13)?,
            url: row.get(14)?,
            intent: row.get(15)?,
            failures: row.get(16)?,
            made_at_ms: row.get(17)?,
            expires_at_ms: row.get(18)?,
            looks: row.get(19)?,
        })
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordered {
    /// It is there, now or from before; without `url` the provider does not know of it yet.
    Order(Box<Order>),
    /// The key belongs to another order.
    OtherRequest,
    /// It is not sold, or not as often.
    Refused(Purchased),
    /// So many orders of the player wait for money already.
    TooMany,
}

impl Store {
    /// Makes an order, once per key. It counts against limit and stock from now on until nothing can be paid for it any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_order(&self, new: NewOrder) -> Result<Ordered, StoreError> {
        let input = (new, Arc::clone(self.catalog()));
        self.database().write(Domain::Economy, input, |tx, (new, catalog)| Box::pin(make(tx, new, catalog))).await
    }

    /// Notes where an order is paid. The first word counts: for the provider, too, the same request is the same session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_session(&self, order: Uuid, session: String, url: String) -> Result<(), StoreError> {
        let sql = "UPDATE orders SET session_id = $1, session_url = $2 WHERE order_id = $3 AND session_id IS NULL";
        self.database().statement(Domain::Economy, sql, args![session, url, *order.as_bytes()]).await.map(drop)
    }

    /// Notes that the provider has answered with a failure: it would repeat that for a day to the same call.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_session_failure(&self, order: Uuid, failures: u64) -> Result<(), StoreError> {
        let sql = "UPDATE orders SET failures = $1 WHERE order_id = $2 AND failures < $1";
        self.database().statement(Domain::Economy, sql, args![failures + 1, *order.as_bytes()]).await.map(drop)
    }

    /// An order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, order: Uuid) -> Result<Option<Order>, StoreError> {
        self.database().optional(Domain::Economy, COLUMNS, args![*order.as_bytes()]).await
    }

    /// A player's newest orders.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders_of(&self, player: PlayerId, limit: u32) -> Result<Vec<Order>, StoreError> {
        self.database().all(Domain::Economy, OF_PLAYER, args![player, limit]).await
    }

    /// Orders of which the provider should have said something by now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders_to_look_at(&self, now_ms: u64, limit: u32) -> Result<Vec<Order>, StoreError> {
        self.database().all(Domain::Operations, TO_LOOK_AT, args![now_ms, limit]).await
    }

    /// Takes it upon this instance to ask the provider, and says when it is asked again if that brings nothing. `false`: another
    /// instance does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look_at_order(&self, order: &Order, next_ms: u64) -> Result<bool, StoreError> {
        let sql = "UPDATE orders SET look_at_ms = $1, looks = looks + 1 WHERE order_id = $2 AND looks = $3";
        let args = args![next_ms, *order.order_id.as_bytes(), order.looks];
        Ok(self.database().statement(Domain::Operations, sql, args).await? == 1)
    }
}

async fn make(tx: &mut Tx, new: &NewOrder, catalog: &Catalog) -> Result<Ordered, StoreError> {
    let order_id = *new.order_id().as_bytes();
    let known: Option<Order> = tx.optional(COLUMNS, args![order_id]).await?;
    if let Some(order) = known {
        let is_same = order.request_hash == new.request_hash;
        return Ok(if is_same { Ordered::Order(Box::new(order)) } else { Ordered::OtherRequest });
    }
    let offer = match catalog.offer(&new.offer, new.now_ms) {
        Ok(offer) => offer,
        Err(why) => return Ok(Ordered::Refused(Purchased::NotSold(why))),
    };
    let region = region_for(tx, offer, new.player).await?;
    let Some(price) = price(offer, region.as_deref(), new.money.as_deref(), new.quantity) else {
        return Ok(Ordered::Refused(Purchased::NotSold(NotSold::NoPrice)));
    };
    let sql = "SELECT count(*) FROM orders WHERE player_id = $1 AND state = $2 AND expires_at_ms > $3";
    let open: u64 = tx.one(sql, args![new.player, OrderState::Open.name(), new.now_ms]).await?;
    if open >= OPEN_MAX {
        return Ok(Ordered::TooMany);
    }
    if let Some(refused) = refusal(tx, new.player, &new.offer, offer, new.quantity, new.now_ms).await? {
        return Ok(Ordered::Refused(refused));
    }
    count(tx, new.player, &new.offer, offer, new.quantity, new.now_ms).await?;
    let period_begin_ms = offer.per_player.map_or(0, |limit| limit.period.begin_ms(new.now_ms));
    let gives = frozen(catalog, offer, new.quantity);
    let sql = "INSERT INTO orders (order_id, player_id, request_hash, offer, quantity, catalog_version, money, amount, gives, facts,
                   position, state, entries, counted, period_begin_ms, failures, made_at_ms, expires_at_ms, look_at_ms, looks)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '{}', '{}', $10, 0, 1, $11, 0, $12, $13, $14, 0)";
    let args = args![
        order_id,
        new.player,
        new.request_hash,
        new.offer,
        new.quantity,
        catalog.version,
        price.money,
        price.amount,
        serde_json::to_string(&gives).expect("plain data"),
        OrderState::Open.name(),
        period_begin_ms,
        new.now_ms,
        new.now_ms + new.life_ms,
        new.now_ms + FIRST_LOOK_MS,
    ];
    tx.execute(sql, args).await?;
    let order: Order = tx.one(COLUMNS, args![order_id]).await?;
    tell(tx, || vec![fact::order_opened(order.fact(), order.state().name(), new.now_ms)]).await?;
    Ok(Ordered::Order(Box::new(order)))
}

/// What `quantity` of an offer costs in money of the world.
fn price(offer: &Offer, region: Option<&str>, money: Option<&str>, quantity: u64) -> Option<Price> {
    let first = || {
        offer.prices.iter().find_map(|price| match &price.tender {
            Tender::Money(money) => Some(money.clone()),
            Tender::Currency(_) => None,
        })
    };
    let money = money.map(str::to_owned).or_else(first)?;
    let amount = offer.price(region, Some(&Tender::Money(money.clone()))).ok()?.amount;
    Some(Price { amount: amount.checked_mul(quantity)?, money })
}

/// What an order gives, with everything that a later catalog may say otherwise.
fn frozen(catalog: &Catalog, offer: &Offer, quantity: u64) -> Gives {
    let (currencies, _) = gives(catalog, offer, quantity, 0);
    let goods = offer.gives.iter().filter_map(|part| {
        let Part::Item { item, quantity: each } = part else { return None };
        let goods = catalog.goods(item, each.saturating_mul(quantity), 0)?;
        let lasts_s = catalog.items.get(item)?.lasts_s;
        Some(GoodsShare { goods: crate::core::inventory::Goods { expires_at_ms: None, ..goods }, lasts_s })
    });
    Gives { currencies, goods: goods.collect() }
}
