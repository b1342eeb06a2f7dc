//! Loadouts. They name items and hold none: what is traded, used up or expired is missing when they are read.

use std::collections::BTreeMap;

use protocol::id::PlayerId;

use super::inventory::stock;
use super::{Store, StoreError};
use crate::args;
use crate::core::inventory::{Item, ItemId};
use crate::core::loadout::{LOADOUTS_MAX, SlotName, Worn, missing};
use crate::db::{Domain, Tx};

/// A loadout as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loadout {
    /// Its name.
    pub slot: String,
    /// Counts its changes; what becomes of its items is none.
    pub version: u64,
    /// What is there, by place.
    pub items: BTreeMap<SlotName, Item>,
    /// Places whose item is gone.
    pub missing: Vec<SlotName>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadoutSaved {
    /// It is saved, under this version.
    Done(u64),
    /// The player does not have the items of these places.
    Missing(Vec<SlotName>),
    /// It has another version than expected; `None`: there is none.
    Stale(Option<u64>),
    /// The player has as many as may be.
    Full,
}

impl Store {
    /// A player's loadouts, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn loadouts(&self, player: PlayerId, now_ms: u64) -> Result<Vec<Loadout>, StoreError> {
        self.db
            .read(Domain::Players, (player, now_ms), |tx, (player, now_ms)| Box::pin(read(tx, *player, *now_ms)))
            .await
    }

    /// Saves a loadout, if the player has what is in it and, with `expected`, if it has that version still. The same again changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_loadout(
        &self,
        player: PlayerId,
        slot: SlotName,
        worn: Worn,
        expected: Option<u64>,
        now_ms: u64,
    ) -> Result<LoadoutSaved, StoreError> {
        let input = (player, slot, worn, expected, now_ms);
        self.db
            .write(Domain::Players, input, |tx, (player, slot, worn, expected, now_ms)| {
                Box::pin(save(tx, *player, slot, worn, *expected, *now_ms))
            })
            .await
    }

    /// Removes a loadout; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_loadout(&self, player: PlayerId, slot: SlotName) -> Result<bool, StoreError> {
        let sql = "DELETE FROM loadouts WHERE player_id = $1 AND slot = $2";
        Ok(self.db.statement(Domain::Players, sql, args![player, slot.as_str()]).await? == 1)
    }
}

type LoadoutRow = (String, String, u64);

async fn rows(tx: &mut Tx, player: PlayerId) -> Result<Vec<(String, Worn, u64)>, StoreError> {
    let sql = "SELECT slot, items, version FROM loadouts WHERE player_id = $1 ORDER BY slot";
    let rows: Vec<LoadoutRow> = tx.all(sql, args![player]).await?;
    let read = |(slot, items, version): LoadoutRow| {
        let worn =
            serde_json::from_str(&items).map_err(|error| StoreError::Unreadable(format!("a loadout: {error}")))?;
        Ok((slot, worn, version))
    };
    rows.into_iter().map(read).collect()
}

async fn read(tx: &mut Tx, player: PlayerId, now_ms: u64) -> Result<Vec<Loadout>, StoreError> {
    let rows = rows(tx, player).await?;
    let mut ids: Vec<ItemId> = rows.iter().flat_map(|(_, worn, _)| worn.values().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let held = if ids.is_empty() { Vec::new() } else { stock::find(tx, player, &ids, now_ms).await? };
    let by_id: BTreeMap<ItemId, &Item> = held.iter().map(|item| (item.item_id, item)).collect();
    let loadout = |(slot, worn, version): (String, Worn, u64)| {
        let missing = missing(&worn, &held);
        let there = worn.into_iter().filter(|(place, _)| !missing.contains(place));
        let items = there.filter_map(|(place, id)| Some((place, (*by_id.get(&id)?).clone()))).collect();
        Loadout { slot, version, items, missing }
    };
    Ok(rows.into_iter().map(loadout).collect())
}

async fn save(
    tx: &mut Tx,
    player: PlayerId,
    slot: &SlotName,
    worn: &Worn,
    expected: Option<u64>,
    now_ms: u64,
) -> Result<LoadoutSaved, StoreError> {
    let rows = rows(tx, player).await?;
    let before = rows.iter().find(|(name, _, _)| name == slot.as_str());
    if let Some((_, same, version)) = before
        && same == worn
    {
        return Ok(LoadoutSaved::Done(*version));
    }
    let version = before.map(|(_, _, version)| *version);
    if expected.is_some() && expected != version {
        return Ok(LoadoutSaved::Stale(version));
    }
    if version.is_none() && rows.len() >= LOADOUTS_MAX {
        return Ok(LoadoutSaved::Full);
    }
    let ids: Vec<ItemId> = worn.values().copied().collect();
    let held = stock::find(tx, player, &ids, now_ms).await?;
    let missing = missing(worn, &held);
    if !missing.is_empty() {
        return Ok(LoadoutSaved::Missing(missing));
    }
    // As with values: one that is removed and saved anew has another version.
    let version = version.map_or(0, |version| version + 1).max(now_ms);
    let items = serde_json::to_string(worn).map_err(|error| StoreError::Failed(error.to_string()))?;
    let sql = "INSERT INTO loadouts (player_id, slot, items, version, updated_at_ms) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (player_id, slot) DO UPDATE SET items = excluded.items, version = excluded.version,
                   updated_at_ms = excluded.updated_at_ms";
    tx.execute(sql, args![player, slot.as_str(), items, version, now_ms]).await?;
    Ok(LoadoutSaved::Done(version))
}
