//! Loadouts: which of its items a player takes along, and where it wears them.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::inventory::{Item, ItemId};

/// Most loadouts of a player.
pub const LOADOUTS_MAX: usize = 20;
/// Most places of a loadout.
pub const PLACES_MAX: usize = 32;
/// Longest name of a loadout or a place, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// The name of a loadout or of a place in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotName(String);

impl SlotName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SlotName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text.to_owned())),
            false => Err("the name of a loadout or a place has 1 to 32 letters, digits, '-', '_' or '.'"),
        }
    }
}

impl TryFrom<String> for SlotName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SlotName> for String {
    fn from(name: SlotName) -> Self {
        name.0
    }
}

/// An item for each place.
pub type Worn = BTreeMap<SlotName, ItemId>;

/// The places whose item is not there: not the player's any more, expired, or worn more often than there are. Of several places
/// with one item, the first ones in their order have it.
pub fn missing(worn: &Worn, held: &[Item]) -> Vec<SlotName> {
    let mut left: BTreeMap<ItemId, u64> = held.iter().map(|item| (item.item_id, item.quantity)).collect();
    let mut is_missing = |item: &ItemId| match left.get_mut(item) {
        Some(quantity) if *quantity > 0 => {
            *quantity -= 1;
            false
        }
        _ => true,
    };
    worn.iter().filter(|(_, item)| is_missing(item)).map(|(place, _)| place.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ItemId {
        ItemId::from_bytes([n; 16])
    }

    fn item(n: u8, quantity: u64) -> Item {
        let (item_id, definition) = (id(n), "thing".to_owned());
        Item { item_id, definition, version: 1, quantity, acquired_at_ms: 0, expires_at_ms: None }
    }

    #[test]
    fn an_item_is_worn_as_often_as_there_are() {
        let place = |text: &str| text.parse::<SlotName>().expect("a name");
        let worn: Worn = [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 3)].map(|(at, n)| (place(at), id(n))).into();
        assert_eq!(missing(&worn, &[item(1, 1), item(2, 5)]), [place("b"), place("e")]);
        assert_eq!(missing(&Worn::new(), &[]), []);
        for bad in ["", "a b", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<SlotName>().is_err(), "{bad}");
        }
    }
}
