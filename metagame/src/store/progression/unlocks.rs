//! Unlock trees and prestige: each step is known by what it leads to, so it happens once however often it is sent.

use std::sync::Arc;

use protocol::id::PlayerId;
use serde_json::json;

use super::claims::give;
use super::record::{standings, write};
use crate::args;
use crate::core::catalog::{Catalog, Part};
use crate::core::event::fact;
use crate::core::inventory::{ItemId, items, stack_id};
use crate::core::ledger::{Entry, LedgerFault, System, book};
use crate::core::progression::{Progression, Standing, Unlock};
use crate::db::{Domain, List, StoreError, Tx};
use crate::store::Store;
use crate::store::economy::books::{self, Posted};
use crate::store::events::tell;
use crate::store::inventory::{Missing, stock};

/// What became of an unlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlocked {
    /// The player has it.
    Done {
        /// Whether that was now.
        first: bool,
    },
    /// There is no such node.
    Unknown,
    /// Nodes before it are locked: these.
    Needs(Vec<String>),
    /// The player's level is too low.
    Level {
        /// What it is.
        level: u32,
        /// What it takes.
        needed: u32,
    },
    /// It costs items that are not there.
    Missing(Missing),
    /// It costs money that is not there, or gives more than can be counted.
    Money(LedgerFault),
}

/// What became of a prestige.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prestiged {
    /// This is where the player stands.
    Done {
        /// Now.
        standing: Standing,
        /// Whether that was now.
        first: bool,
    },
    /// The rules have none, the level is too low, or it was the last one.
    NotPossible(Standing),
    /// The player has begun anew more or less often than it thinks.
    Elsewhere(Standing),
    /// The wallet would hold more than can be counted.
    Full(LedgerFault),
}

impl Store {
    /// Unlocks a node, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unlock(
        &self,
        player: PlayerId,
        node: String,
        rules: Arc<Progression>,
        now_ms: u64,
    ) -> Result<Unlocked, StoreError> {
        let input = (player, node, rules, Arc::clone(self.catalog()), now_ms);
        self.database()
            .write(Domain::Economy, input, |tx, (player, node, rules, catalog, now_ms)| {
                Box::pin(unlock(tx, *player, node, rules, catalog, *now_ms))
            })
            .await
    }

    /// Begins anew, from the prestige `from`, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prestige(
        &self,
        player: PlayerId,
        from: u32,
        rules: Arc<Progression>,
        now_ms: u64,
    ) -> Result<Prestiged, StoreError> {
        let input = (player, from, rules, Arc::clone(self.catalog()), now_ms);
        self.database()
            .write(Domain::Economy, input, |tx, (player, from, rules, catalog, now_ms)| {
                Box::pin(prestige(tx, *player, *from, rules, catalog, *now_ms))
            })
            .await
    }
}

async fn standing(tx: &mut Tx, player: PlayerId, rules: &Progression) -> Result<Standing, StoreError> {
    let found = standings(tx, &[player]).await?;
    Ok(found.first().map(|(_, standing)| *standing).unwrap_or_default().now(&rules.xp))
}

async fn unlock(
    tx: &mut Tx,
    player: PlayerId,
    id: &str,
    rules: &Progression,
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Unlocked, StoreError> {
    let Some(node) = rules.unlocks.get(id) else { return Ok(Unlocked::Unknown) };
    let asked: Vec<&str> = node.needs.iter().map(String::as_str).chain([id]).collect();
    let sql = "SELECT node FROM unlocks WHERE player_id = $1 AND node IN texts($2)";
    let open: Vec<String> = tx.all(sql, args![player, List(&asked)]).await?;
    if open.iter().any(|open| open == id) {
        return Ok(Unlocked::Done { first: false });
    }
    let locked: Vec<String> = node.needs.iter().filter(|need| !open.contains(need)).cloned().collect();
    if !locked.is_empty() {
        return Ok(Unlocked::Needs(locked));
    }
    // Who began anew has been at every level before.
    let level = standing(tx, player, rules).await?.level_max;
    if level < node.level {
        return Ok(Unlocked::Level { level, needed: node.level });
    }
    if let Some(refused) = pay(tx, player, id, node, catalog, now_ms).await? {
        return Ok(refused);
    }
    let sql = "INSERT INTO unlocks (player_id, node, rules_version, at_ms) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![player, id, rules.version, now_ms]).await?;
    Ok(Unlocked::Done { first: true })
}

/// Takes what a node costs and gives what it gives, as one entry of the books. Everything is asked before anything is written.
async fn pay(
    tx: &mut Tx,
    player: PlayerId,
    id: &str,
    node: &Unlock,
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Option<Unlocked>, StoreError> {
    if node.costs.is_empty() && node.gives.is_empty() {
        return Ok(None);
    }
    let mut entry = Entry::new(format!("unlock:{player}:{id}"), format!("player:{player}"), now_ms);
    let (mine, shop) = (player.into(), System::Shop.account());
    let mut takes: Vec<(ItemId, u64)> = Vec::new();
    for part in &node.costs {
        match part {
            Part::Currency { currency, amount } => entry.transfer(mine, shop, currency, signed(*amount)),
            Part::Item { item, quantity } => takes.push((stack_id(player, item, None), *quantity)),
        }
    }
    let mut goods = Vec::new();
    for part in &node.gives {
        match part {
            Part::Currency { currency, amount } => entry.transfer(shop, mine, currency, signed(*amount)),
            Part::Item { item, quantity } => goods.extend(catalog.goods(item, *quantity, now_ms)),
        }
    }
    let wallets = books::wallets_of(tx, &entry).await?;
    if let Err(fault) = book(&entry, &wallets) {
        return Ok(Some(Unlocked::Money(fault)));
    }
    let taken = match stock::take(tx, player, &takes, now_ms).await? {
        Ok(taken) => taken,
        Err(missing) => return Ok(Some(Unlocked::Missing(missing))),
    };
    entry.detail = json!({ "catalog": catalog.version, "taken": taken, "goods": goods }).to_string();
    match books::post(tx, &entry).await? {
        Posted::Now(booked) => {
            stock::put(tx, player, &items(player, &booked.journal_id, now_ms, &goods)).await?;
            Ok(None)
        }
        Posted::Refused(fault) => Err(StoreError::Failed(format!("the wallets have changed: {fault}"))),
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

async fn prestige(
    tx: &mut Tx,
    player: PlayerId,
    from: u32,
    rules: &Progression,
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Prestiged, StoreError> {
    let before = standing(tx, player, rules).await?;
    // Its answer was lost, or two were sent at once.
    if from.checked_add(1) == Some(before.prestige) {
        return Ok(Prestiged::Done { standing: before, first: false });
    }
    if before.prestige != from {
        return Ok(Prestiged::Elsewhere(before));
    }
    let Some((after, gives)) = before.prestige(rules).zip(rules.prestige.as_ref().map(|one| &one.gives)) else {
        return Ok(Prestiged::NotPossible(before));
    };
    let cause = format!("prestige:{player}:{}", after.prestige);
    if let Some(fault) = give(tx, player, cause, gives, catalog, now_ms).await? {
        return Ok(Prestiged::Full(fault));
    }
    write(tx, &[(player, after)], rules.version).await?;
    tell(tx, || vec![fact::prestige_reached(player, after.prestige, now_ms)]).await?;
    // The profile shows it, and its version is the ETag.
    tx.execute("UPDATE accounts SET version = version + 1 WHERE player_id = $1", args![player]).await?;
    Ok(Prestiged::Done { standing: after, first: true })
}
