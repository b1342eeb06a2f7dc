//! Putting items into inventories and taking them out, within the transaction of whatever moves them.

use std::collections::BTreeMap;

use protocol::id::PlayerId;

use crate::args;
use crate::core::inventory::{Item, ItemId};
use crate::db::{FromRow, List, Row, Sql, StoreError, Tx};
use crate::together;

const PUT: &str = "\
    INSERT INTO items (player_id, item_id, definition, definition_version, quantity, acquired_at_ms, expires_at_ms)
    SELECT $1, item_id, definition, version, quantity, acquired_at_ms, nullif(expires_at_ms, 0)
    FROM ROWS(item_id blob $2, definition text $3, version int $4, quantity int $5, acquired_at_ms int $6,
              expires_at_ms int $7)
    WHERE true
    ON CONFLICT (player_id, item_id) DO UPDATE SET quantity = items.quantity + excluded.quantity,
        definition_version = excluded.definition_version";

/// Puts items into an inventory; onto the stack, where there is one.
pub(crate) async fn put(tx: &mut Tx, owner: PlayerId, items: &[Item]) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = items.iter().map(|item| item.item_id).collect();
    let definitions: Vec<_> = items.iter().map(|item| item.definition.as_str()).collect();
    let versions: Vec<_> = items.iter().map(|item| item.version).collect();
    let quantities: Vec<_> = items.iter().map(|item| item.quantity).collect();
    let acquired: Vec<_> = items.iter().map(|item| item.acquired_at_ms).collect();
    // NULL is in no list.
    let expiries: Vec<_> = items.iter().map(|item| item.expires_at_ms.unwrap_or(0)).collect();
    let args = args![
        owner,
        List(&ids),
        List(&definitions),
        List(&versions),
        List(&quantities),
        List(&acquired),
        List(&expiries)
    ];
    tx.execute(PUT, args).await.map(drop)
}

/// Its columns are those of `ITEMS` and of the inventory's page.
impl FromRow for Item {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            item_id: row.get(0)?,
            definition: row.get(1)?,
            version: row.get(2)?,
            quantity: row.get(3)?,
            acquired_at_ms: row.get(4)?,
            expires_at_ms: row.get(5)?,
        })
    }
}

const ITEMS: &str = "\
    SELECT item_id, definition, definition_version, quantity, acquired_at_ms, expires_at_ms FROM items
    WHERE player_id = $1 AND item_id IN blobs($2) AND (expires_at_ms IS NULL OR expires_at_ms > $3)";

/// A stack that is used up goes; one of which something is left stays.
const TAKE: Sql = together! {
    whole: "DELETE FROM items WHERE player_id = $1 AND item_id IN blobs($2)",
    part: "UPDATE items SET quantity = quantity - taken
           FROM ROWS(part_id blob $3, taken int $4) WHERE items.player_id = $1 AND items.item_id = part_id",
};

/// What was asked for and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Of which item.
    pub item_id: ItemId,
    /// How many there are.
    pub have: u64,
}

/// The items with these ids that a player has and that have not expired.
pub(crate) async fn find(tx: &mut Tx, owner: PlayerId, ids: &[ItemId], now_ms: u64) -> Result<Vec<Item>, StoreError> {
    tx.all(ITEMS, args![owner, List(ids), now_ms]).await
}

/// Takes items out of an inventory: all of it, or nothing. What was taken, with the quantities that were asked for.
pub(crate) async fn take(
    tx: &mut Tx,
    owner: PlayerId,
    wanted: &[(ItemId, u64)],
    now_ms: u64,
) -> Result<Result<Vec<Item>, Missing>, StoreError> {
    let mut sums: BTreeMap<ItemId, u64> = BTreeMap::new();
    for (item_id, quantity) in wanted {
        let sum = sums.entry(*item_id).or_default();
        *sum = sum.saturating_add(*quantity);
    }
    let ids: Vec<_> = sums.keys().copied().collect();
    let held = find(tx, owner, &ids, now_ms).await?;
    let (mut taken, mut whole, mut part) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for (item_id, quantity) in sums {
        let Some(item) = held.iter().find(|item| item.item_id == item_id && item.quantity >= quantity) else {
            let have = held.iter().find(|item| item.item_id == item_id).map_or(0, |item| item.quantity);
            return Ok(Err(Missing { item_id, have }));
        };
        if item.quantity == quantity {
            whole.push(item_id);
        } else {
            part.0.push(item_id);
            part.1.push(quantity);
        }
        taken.push(Item { quantity, ..item.clone() });
    }
    if !taken.is_empty() {
        tx.execute(TAKE, args![owner, List(&whole), List(&part.0), List(&part.1)]).await?;
    }
    Ok(Ok(taken))
}

/// Removes what has expired.
pub(crate) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM items WHERE expires_at_ms <= $1", args![now_ms]).await.map(drop)
}
