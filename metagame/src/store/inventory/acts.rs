//! What players do with what they have: use it up, make something of it, take it apart, give it away. Each act is an entry
//! of the books, happens once per key, and is whole or not at all.

use std::sync::Arc;

use protocol::id::PlayerId;
use serde_json::{Value, json};

use super::stock::{self, Missing};
use crate::args;
use crate::core::catalog::{Catalog, ItemDefinition, Part};
use crate::core::inventory::{Goods, Item, ItemId, handed, items, stack_id};
use crate::core::ledger::{Entry, LedgerFault, System};
use crate::db::{Domain, StoreError, Tx};
use crate::idempotency::{Keyed, Reply, claim, settle};
use crate::store::Store;
use crate::store::economy::books::{self, Posted};

/// What a player does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Uses items up.
    Consume {
        /// Which.
        item_id: ItemId,
        /// How many, from 1.
        quantity: u64,
    },
    /// Makes something of other things.
    Craft {
        /// By which recipe.
        recipe: String,
        /// The items that do not stack, or that expire: which of them.
        items: Vec<ItemId>,
    },
    /// Takes items apart.
    Disenchant {
        /// Which.
        item_id: ItemId,
        /// How many, from 1.
        quantity: u64,
    },
    /// Gives items to another player.
    Gift {
        /// Which.
        item_id: ItemId,
        /// How many, from 1.
        quantity: u64,
        /// To whom.
        to: PlayerId,
    },
}

impl Act {
    fn kind(&self) -> &'static str {
        match self {
            Self::Consume { .. } => "consume",
            Self::Craft { .. } => "craft",
            Self::Disenchant { .. } => "disenchant",
            Self::Gift { .. } => "gift",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done {
        /// What the player has no more.
        taken: Vec<Item>,
        /// What the player, or who got the gift, has instead.
        given: Vec<Item>,
        /// Money of the game that came or went.
        currencies: Vec<(String, i64)>,
    },
    /// The player does not have it, or not as many.
    Missing(Missing),
    /// This cannot be done with it.
    NotPossible(&'static str),
    /// There is no such recipe.
    NoRecipe,
    /// There is no such player.
    NoPlayer,
    /// It takes money that is not there, or gives more than can be counted.
    Money(LedgerFault),
}

/// What an act takes and gives.
#[derive(Default)]
struct Plan {
    takes: Vec<(ItemId, u64)>,
    pays: Vec<(String, u64)>,
    gives: Vec<Part>,
}

impl Store {
    /// Does something with what a player has, once per key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn act(&self, keyed: Keyed<Acted>, act: Act) -> Result<Reply, StoreError> {
        let input = (keyed, act, Arc::clone(self.catalog()));
        self.database()
            .write(Domain::Economy, input, |tx, (keyed, act, catalog)| Box::pin(keyed_act(tx, keyed, act, catalog)))
            .await
    }
}

async fn keyed_act(tx: &mut Tx, keyed: &Keyed<Acted>, act: &Act, catalog: &Catalog) -> Result<Reply, StoreError> {
    if let Some(reply) = claim(tx, keyed).await? {
        return Ok(reply);
    }
    let acted = do_it(tx, keyed, act, catalog).await?;
    settle(tx, keyed, &acted).await
}

/// Asks everything before it writes anything: a refusal is committed with its key, and must leave nothing else.
async fn do_it(tx: &mut Tx, keyed: &Keyed<Acted>, act: &Act, catalog: &Catalog) -> Result<Acted, StoreError> {
    let (player, now_ms) = (keyed.account, keyed.now_ms);
    let plan = match plan(tx, player, act, catalog, now_ms).await? {
        Ok(plan) => plan,
        Err(refused) => return Ok(refused),
    };
    let mut entry = Entry::new(format!("{}:{player}:{}", act.kind(), keyed.key), format!("player:{player}"), now_ms);
    let (mine, shop) = (player.into(), System::Shop.account());
    let (currencies, goods) = made(catalog, &plan.gives, now_ms);
    for (currency, amount) in &plan.pays {
        entry.transfer(mine, shop, currency, i64::try_from(*amount).unwrap_or(i64::MAX));
    }
    for (currency, amount) in &currencies {
        entry.transfer(shop, mine, currency, i64::try_from(*amount).unwrap_or(i64::MAX));
    }
    // Money is asked before items are taken.
    let wallets = books::wallets_of(tx, &entry).await?;
    if let Err(fault) = crate::core::ledger::book(&entry, &wallets) {
        return Ok(Acted::Money(fault));
    }
    let taken = match stock::take(tx, player, &plan.takes, now_ms).await? {
        Ok(taken) => taken,
        Err(missing) => return Ok(Acted::Missing(missing)),
    };
    let receiver = if let Act::Gift { to, .. } = act { *to } else { player };
    entry.detail = detail(catalog, act, &taken, &goods).to_string();
    let booked = match books::post(tx, &entry).await? {
        Posted::Now(booked) => booked,
        Posted::Refused(fault) => return Err(StoreError::Failed(format!("the wallets have changed: {fault}"))),
    };
    let given = match act {
        Act::Gift { to, .. } => taken.iter().map(|item| handed(item, player, *to)).collect(),
        _ => items(player, &booked.journal_id, now_ms, &goods),
    };
    stock::put(tx, receiver, &given).await?;
    let moved = entry.lines.iter().filter(|line| line.account == mine);
    let currencies = moved.map(|line| (line.currency.clone(), line.amount)).collect();
    Ok(Acted::Done { taken, given, currencies })
}

/// What the books say of an act.
fn detail(catalog: &Catalog, act: &Act, taken: &[Item], goods: &[Goods]) -> Value {
    let mut detail = json!({ "catalog": catalog.version, "taken": taken, "goods": goods });
    match act {
        Act::Gift { to, .. } => detail["to"] = json!(to),
        Act::Craft { recipe, .. } => detail["recipe"] = json!(recipe),
        Act::Consume { .. } | Act::Disenchant { .. } => {}
    }
    detail
}

fn made(catalog: &Catalog, parts: &[Part], now_ms: u64) -> (Vec<(String, u64)>, Vec<Goods>) {
    let (mut currencies, mut goods) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Currency { currency, amount } => currencies.push((currency.clone(), *amount)),
            Part::Item { item, quantity } => goods.extend(catalog.goods(item, *quantity, now_ms)),
        }
    }
    (currencies, goods)
}

async fn plan(
    tx: &mut Tx,
    player: PlayerId,
    act: &Act,
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Result<Plan, Acted>, StoreError> {
    let (item_id, quantity) = match act {
        Act::Craft { recipe, items } => return craft(tx, player, recipe, items, catalog, now_ms).await,
        Act::Consume { item_id, quantity } | Act::Disenchant { item_id, quantity } => (*item_id, *quantity),
        Act::Gift { item_id, quantity, to } => {
            if *to == player {
                return Ok(Err(Acted::NotPossible("a gift is for somebody else")));
            }
            let known: Option<u64> =
                tx.optional("SELECT 1 FROM accounts WHERE player_id = $1 AND erased_at_ms IS NULL", args![*to]).await?;
            if known.is_none() {
                return Ok(Err(Acted::NoPlayer));
            }
            (*item_id, *quantity)
        }
    };
    let held = stock::find(tx, player, &[item_id], now_ms).await?;
    let Some(item) = held.first().filter(|item| item.quantity >= quantity) else {
        let have = held.first().map_or(0, |item| item.quantity);
        return Ok(Err(Acted::Missing(Missing { item_id, have })));
    };
    let takes = vec![(item_id, quantity)];
    Ok(match catalog.items.get(&item.definition) {
        None => Err(Acted::NotPossible("items of this sort are not used any more")),
        Some(definition) => use_of(act, definition, quantity).map(|gives| Plan { takes, gives, ..Plan::default() }),
    })
}

/// What an act gives, if it can be done with items of this sort.
fn use_of(act: &Act, definition: &ItemDefinition, quantity: u64) -> Result<Vec<Part>, Acted> {
    match act {
        Act::Consume { .. } if !definition.consumable => Err(Acted::NotPossible("it cannot be used up")),
        Act::Gift { .. } if !definition.tradable => Err(Acted::NotPossible("it cannot be given away")),
        Act::Disenchant { .. } if definition.disenchant.is_empty() => {
            Err(Acted::NotPossible("it cannot be taken apart"))
        }
        Act::Disenchant { .. } => Ok(definition.disenchant.iter().map(|part| part.times(quantity)).collect()),
        _ => Ok(Vec::new()),
    }
}

async fn craft(
    tx: &mut Tx,
    player: PlayerId,
    recipe: &str,
    chosen: &[ItemId],
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Result<Plan, Acted>, StoreError> {
    let Some(recipe) = catalog.recipes.get(recipe) else { return Ok(Err(Acted::NoRecipe)) };
    let mut chosen = stock::find(tx, player, chosen, now_ms).await?;
    let mut plan = Plan { gives: recipe.gives.clone(), ..Plan::default() };
    for part in &recipe.takes {
        let (item, mut wanted) = match part {
            Part::Currency { currency, amount } => {
                plan.pays.push((currency.clone(), *amount));
                continue;
            }
            Part::Item { item, quantity } => (item, *quantity),
        };
        for one in chosen.iter_mut().filter(|one| one.definition == *item) {
            let taken = one.quantity.min(wanted);
            if taken > 0 {
                plan.takes.push((one.item_id, taken));
            }
            (one.quantity, wanted) = (one.quantity - taken, wanted - taken);
        }
        if wanted == 0 {
            continue;
        }
        let stack = catalog.items.get(item).filter(|definition| definition.stacks && definition.lasts_s.is_none());
        if stack.is_none() {
            return Ok(Err(Acted::NotPossible("name in `items` which of your items it shall take")));
        }
        plan.takes.push((stack_id(player, item, None), wanted));
    }
    Ok(Ok(plan))
}
