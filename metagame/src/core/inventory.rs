//! Goods: what stacks and what is one of its kind, and how either gets its id.
//!
//! Ids are made of what led to them and never chosen at random, so a use case that runs again makes the same items.

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Expiry is rounded up to this, so that what was granted within a minute is one stack.
const EXPIRY_STEP_MS: u64 = 60_000;

/// The id of a stack or of a unique item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub uuid::Uuid);

impl ItemId {
    /// Its 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }
}

impl std::fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

/// Goods of one definition, as they are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goods {
    /// Which.
    pub definition: String,
    /// Version of the definition.
    pub version: u32,
    /// How many, from 1.
    pub quantity: u64,
    /// Whether they are one stack; otherwise each is an item of its own.
    pub stacks: bool,
    /// Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

/// A row of somebody's inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which one.
    pub item_id: ItemId,
    /// What it is.
    pub definition: String,
    /// Version of the definition that it was made by.
    pub version: u32,
    /// How many; of a unique item 1.
    pub quantity: u64,
    /// Unix milliseconds.
    pub acquired_at_ms: u64,
    /// Unix milliseconds.
    pub expires_at_ms: Option<u64>,
}

/// When goods expire that are given now and last `seconds`.
pub fn expiry(now_ms: u64, seconds: u64) -> u64 {
    now_ms.saturating_add(seconds.saturating_mul(1_000)).div_ceil(EXPIRY_STEP_MS).saturating_mul(EXPIRY_STEP_MS)
}

/// The items that goods become in `owner`'s hands; `source` is the journal entry that gives them, `at_ms` its time.
pub fn items(owner: PlayerId, source: &[u8; 16], at_ms: u64, goods: &[Goods]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (line, one) in goods.iter().enumerate() {
        let item = |item_id, quantity| Item {
            item_id,
            definition: one.definition.clone(),
            version: one.version,
            quantity,
            acquired_at_ms: at_ms,
            expires_at_ms: one.expires_at_ms,
        };
        if one.stacks {
            let item_id = stack_id(owner, &one.definition, one.expires_at_ms);
            // Two lines of one definition are one row.
            match items.iter_mut().find(|before| before.item_id == item_id) {
                Some(before) => before.quantity = before.quantity.saturating_add(one.quantity),
                None => items.push(item(item_id, one.quantity)),
            }
        } else {
            items.extend((0..one.quantity).map(|n| item(unique_id(source, line as u64, n), 1)));
        }
    }
    items
}

/// An item of `from` as it is in the hands of `to`: a stack becomes the other player's, a unique item stays itself.
pub fn handed(item: &Item, from: PlayerId, to: PlayerId) -> Item {
    let stacks = item.item_id == stack_id(from, &item.definition, item.expires_at_ms);
    let item_id = if stacks { stack_id(to, &item.definition, item.expires_at_ms) } else { item.item_id };
    Item { item_id, ..item.clone() }
}

/// The id of `owner`'s stack.
pub fn stack_id(owner: PlayerId, definition: &str, expires_at_ms: Option<u64>) -> ItemId {
    let expires = expires_at_ms.unwrap_or(u64::MAX).to_be_bytes();
    id(&[b"muster-stack", &owner.to_bytes(), &expires, definition.as_bytes()])
}

fn unique_id(source: &[u8; 16], line: u64, n: u64) -> ItemId {
    id(&[b"muster-item", source, &line.to_be_bytes(), &n.to_be_bytes()])
}

fn id(parts: &[&[u8]]) -> ItemId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let bytes = hash[..16].try_into().expect("16 of 32 bytes");
    ItemId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goods(definition: &str, quantity: u64, stacks: bool, expires_at_ms: Option<u64>) -> Goods {
        Goods { definition: definition.into(), version: 1, quantity, stacks, expires_at_ms }
    }

    #[test]
    fn what_stacks_is_one_row_and_what_does_not_is_one_each() {
        let owner = PlayerId::from_entropy([1; 16]);
        let given = [
            goods("potion", 3, true, None),
            goods("sword", 2, false, None),
            goods("potion", 4, true, None),
            goods("potion", 1, true, Some(60_000)),
        ];
        let made = items(owner, &[7; 16], 5, &given);
        let rows: Vec<_> = made.iter().map(|item| (item.definition.as_str(), item.quantity)).collect();
        assert_eq!(rows, [("potion", 7), ("sword", 1), ("sword", 1), ("potion", 1)]);
        let ids: std::collections::BTreeSet<_> = made.iter().map(|item| item.item_id).collect();
        assert_eq!(ids.len(), 4);
        assert_eq!(made, items(owner, &[7; 16], 5, &given), "the same entry makes the same items");
        let others = items(owner, &[8; 16], 5, &given);
        assert!(others[0].item_id == made[0].item_id && others[1].item_id != made[1].item_id);
    }

    #[test]
    fn a_stack_changes_its_id_with_its_owner_and_a_unique_item_does_not() {
        let (ada, bob) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        let made = items(ada, &[7; 16], 5, &[goods("potion", 3, true, None), goods("sword", 1, false, None)]);
        let given: Vec<Item> = made.iter().map(|item| handed(item, ada, bob)).collect();
        assert_eq!(given[0].item_id, stack_id(bob, "potion", None));
        assert_eq!(given[1], made[1]);
        let back: Vec<Item> = given.iter().map(|item| handed(item, bob, ada)).collect();
        assert_eq!(back, made);
    }

    #[test]
    fn expiry_is_a_full_minute() {
        assert_eq!((expiry(0, 60), expiry(1, 60), expiry(60_000, 0)), (60_000, 120_000, 60_000));
    }
}
