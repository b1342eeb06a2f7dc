//! Buying with a currency of the game: price, goods, limits and stock in one transaction.

use std::sync::Arc;

use protocol::id::PlayerId;
use serde_json::json;

use super::books::{self, Posted};
use crate::args;
use crate::core::catalog::offer::{NotSold, Tender};
use crate::core::catalog::{Catalog, Offer, Part};
use crate::core::event::fact;
use crate::core::inventory::{Goods, Item, items};
use crate::core::ledger::{Entry, LedgerFault, System};
use crate::db::{Domain, StoreError, Tx};
use crate::idempotency::{Keyed, Reply, claim, settle};
use crate::store::Store;
use crate::store::events::tell;
use crate::store::inventory::stock;

/// How long a player's region stays, in milliseconds.
pub const REGION_LIFE_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// What a player wants to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Who.
    pub player: PlayerId,
    /// Which offer.
    pub offer: String,
    /// How many of it, from 1.
    pub quantity: u64,
    /// Paid with what; `None`: the offer's first currency.
    pub currency: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purchased {
    /// It is the player's.
    Bought(Receipt),
    /// It is not sold.
    NotSold(NotSold),
    /// The player does not have the price.
    TooPoor {
        /// Which currency.
        currency: String,
        /// What there is.
        balance: i64,
        /// What it takes.
        price: i64,
    },
    /// The player has had it as often as may be.
    Limit {
        /// How many more may be bought within the period.
        left: u64,
    },
    /// There are not as many left.
    SoldOut {
        /// How many there are.
        left: u64,
    },
    /// The wallet would hold more than can be counted.
    Full(LedgerFault),
}

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry in the books.
    pub purchase_id: [u8; 16],
    /// Which offer.
    pub offer: String,
    /// How many of it.
    pub quantity: u64,
    /// Paid in what.
    pub currency: String,
    /// How much.
    pub paid: u64,
    /// Money of the game that it gave.
    pub currencies: Vec<(String, u64)>,
    /// Items that it gave; on a stack, what was added.
    pub items: Vec<Item>,
}

impl Store {
    /// Buys, once per key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purchase(&self, keyed: Keyed<Purchased>, purchase: Purchase) -> Result<Reply, StoreError> {
        let input = (keyed, purchase, Arc::clone(self.catalog()));
        self.database()
            .write(Domain::Economy, input, |tx, (keyed, purchase, catalog)| {
                Box::pin(keyed_purchase(tx, keyed, purchase, catalog))
            })
            .await
    }

    /// Where a player buys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn shop_region(&self, player: PlayerId) -> Result<Option<String>, StoreError> {
        let sql = "SELECT region FROM shop_regions WHERE player_id = $1";
        self.database().optional(Domain::Economy, sql, args![player]).await
    }

    /// Notes where a player buys, unless that was said less than [`REGION_LIFE_MS`] ago; where it is now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_shop_region(&self, player: PlayerId, region: String, now_ms: u64) -> Result<String, StoreError> {
        let sql = "INSERT INTO shop_regions (player_id, region, set_at_ms) VALUES ($1, $2, $3)
                   ON CONFLICT (player_id) DO UPDATE SET region = excluded.region, set_at_ms = excluded.set_at_ms
                   WHERE shop_regions.set_at_ms <= $4 AND shop_regions.region <> excluded.region";
        let args = args![player, region, now_ms, now_ms.saturating_sub(REGION_LIFE_MS)];
        self.database().statement(Domain::Economy, sql, args).await?;
        Ok(self.shop_region(player).await?.unwrap_or(region))
    }
}

async fn keyed_purchase(
    tx: &mut Tx,
    keyed: &Keyed<Purchased>,
    purchase: &Purchase,
    catalog: &Catalog,
) -> Result<Reply, StoreError> {
    if let Some(reply) = claim(tx, keyed).await? {
        return Ok(reply);
    }
    let purchased = buy(tx, keyed, purchase, catalog).await?;
    settle(tx, keyed, &purchased).await
}

async fn buy(
    tx: &mut Tx,
    keyed: &Keyed<Purchased>,
    purchase: &Purchase,
    catalog: &Catalog,
) -> Result<Purchased, StoreError> {
    let now_ms = keyed.now_ms;
    let offer = match catalog.offer(&purchase.offer, now_ms) {
        Ok(offer) => offer,
        Err(why) => return Ok(Purchased::NotSold(why)),
    };
    let region = region_for(tx, offer, purchase.player).await?;
    let tender = purchase.currency.clone().map(Tender::Currency);
    let (currency, price) = match offer.price(region.as_deref(), tender.as_ref()) {
        Ok(price) => match &price.tender {
            Tender::Currency(currency) => (currency.clone(), price.amount.saturating_mul(purchase.quantity)),
            Tender::Money(_) => return Ok(Purchased::NotSold(NotSold::NoPrice)),
        },
        Err(why) => return Ok(Purchased::NotSold(why)),
    };
    if let Some(refused) = refusal(tx, purchase.player, &purchase.offer, offer, purchase.quantity, now_ms).await? {
        return Ok(refused);
    }
    let cause = format!("purchase:{}:{}", purchase.player, keyed.key);
    let mut entry = Entry::new(cause, format!("player:{}", purchase.player), now_ms);
    let (shop, buyer) = (System::Shop.account(), purchase.player.into());
    let (currencies, goods) = gives(catalog, offer, purchase.quantity, now_ms);
    for (currency, amount) in &currencies {
        entry.transfer(shop, buyer, currency, i64::try_from(*amount).unwrap_or(i64::MAX));
    }
    entry.transfer(buyer, shop, &currency, i64::try_from(price).unwrap_or(i64::MAX));
    let (catalog, quantity) = (catalog.version, purchase.quantity);
    entry.detail =
        json!({ "catalog": catalog, "offer": purchase.offer, "quantity": quantity, "goods": goods }).to_string();
    let booked = match books::post(tx, &entry).await? {
        Posted::Now(booked) => booked,
        Posted::Refused(LedgerFault::Insufficient { currency, balance, amount, .. }) => {
            return Ok(Purchased::TooPoor { currency, balance, price: amount });
        }
        Posted::Refused(fault) => return Ok(Purchased::Full(fault)),
    };
    count(tx, purchase.player, &purchase.offer, offer, quantity, now_ms).await?;
    let items = items(purchase.player, &booked.journal_id, now_ms, &goods);
    stock::put(tx, purchase.player, &items).await?;
    let fact = fact::Purchased {
        player: purchase.player,
        purchase_id: &booked.journal_id,
        offer: &purchase.offer,
        quantity,
        currency: &currency,
        paid: price,
        currencies: &currencies,
        items: &items,
    };
    tell(tx, || vec![fact::purchase_completed(fact, now_ms)]).await?;
    let (purchase_id, offer) = (booked.journal_id, purchase.offer.clone());
    Ok(Purchased::Bought(Receipt { purchase_id, offer, quantity, currency, paid: price, currencies, items }))
}

/// The player's region, where the offer's price depends on it.
pub(crate) async fn region_for(tx: &mut Tx, offer: &Offer, player: PlayerId) -> Result<Option<String>, StoreError> {
    if offer.prices.iter().all(|price| price.region.is_none()) {
        return Ok(None);
    }
    tx.optional("SELECT region FROM shop_regions WHERE player_id = $1", args![player]).await
}

/// What `quantity` of an offer gives: money of the game, and goods.
pub(crate) fn gives(catalog: &Catalog, offer: &Offer, quantity: u64, now_ms: u64) -> (Vec<(String, u64)>, Vec<Goods>) {
    let (mut currencies, mut goods) = (Vec::new(), Vec::new());
    for part in &offer.gives {
        match part {
            Part::Currency { currency, amount } => currencies.push((currency.clone(), amount.saturating_mul(quantity))),
            Part::Item { item, quantity: each } => {
                goods.extend(catalog.goods(item, each.saturating_mul(quantity), now_ms));
            }
        }
    }
    (currencies, goods)
}

/// Whether a limit or the stock stands in the way.
pub(crate) async fn refusal(
    tx: &mut Tx,
    player: PlayerId,
    id: &str,
    offer: &Offer,
    quantity: u64,
    now_ms: u64,
) -> Result<Option<Purchased>, StoreError> {
    if let Some(limit) = offer.per_player {
        let sql = "SELECT count FROM offer_counts WHERE player_id = $1 AND offer = $2 AND period_begin_ms = $3";
        let had: Option<u64> = tx.optional(sql, args![player, id, limit.period.begin_ms(now_ms)]).await?;
        let left = limit.count.saturating_sub(had.unwrap_or(0));
        if quantity > left {
            return Ok(Some(Purchased::Limit { left }));
        }
    }
    if let Some(stock) = offer.stock {
        let sold: Option<u64> = tx.optional("SELECT sold FROM offer_stock WHERE offer = $1", args![id]).await?;
        let left = stock.saturating_sub(sold.unwrap_or(0));
        if quantity > left {
            return Ok(Some(Purchased::SoldOut { left }));
        }
    }
    Ok(None)
}

/// Counts what was bought against limit and stock.
pub(crate) async fn count(
    tx: &mut Tx,
    player: PlayerId,
    id: &str,
    offer: &Offer,
    quantity: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    if let Some(limit) = offer.per_player {
        let sql = "INSERT INTO offer_counts (player_id, offer, period_begin_ms, count) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (player_id, offer) DO UPDATE SET period_begin_ms = excluded.period_begin_ms,
                       count = excluded.count + CASE WHEN offer_counts.period_begin_ms = excluded.period_begin_ms
                                                     THEN offer_counts.count ELSE 0 END";
        tx.execute(sql, args![player, id, limit.period.begin_ms(now_ms), quantity]).await?;
    }
    if offer.stock.is_some() {
        let sql = "INSERT INTO offer_stock (offer, sold) VALUES ($1, $2)
                   ON CONFLICT (offer) DO UPDATE SET sold = offer_stock.sold + excluded.sold";
        tx.execute(sql, args![id, quantity]).await?;
    }
    Ok(())
}
