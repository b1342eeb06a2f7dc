//! Values that a game keeps per player: who may read and write which collection, how much an account may keep, and what
//! becomes of a write.
//!
//! Writes are decided here for several requests at once ([`decide`]), because the store writes what waits together in one
//! transaction. A request is whole or refused; refusals of one are nothing to the others.

pub mod file;
mod write;

use std::collections::BTreeMap;
use std::str::FromStr;

use protocol::id::PlayerId;
use serde::Deserialize;

pub use file::CollectionsFault;
pub use write::{Change, Expects, Held, Moment, Outcome, Refusal, Request, Usage, decide};

/// Longest name of a collection, in bytes.
pub const COLLECTION_BYTES_MAX: usize = 64;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Largest value that any collection may allow, in bytes: with what is around it in a batch it fits into a request's body.
pub const VALUE_BYTES_MAX: u64 = 56 * 1024;

/// Who may read the values of a collection besides their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readers {
    /// Nobody but servers.
    #[default]
    Owner,
    /// Every player.
    Public,
}

/// Who may write the values of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Their owner, and servers.
    #[default]
    Owner,
    /// Servers alone.
    Server,
}

/// The rules of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    /// Who may read.
    pub read: Readers,
    /// Who may write.
    pub write: Writers,
    /// Largest value in bytes.
    pub value_bytes_max: u64,
}

/// What an account may keep in collections that its player writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all values.
    pub bytes: u64,
    /// Values.
    pub count: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, count: 1_000 }
    }
}

/// All collections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collections {
    /// Those that have rules of their own.
    pub named: BTreeMap<String, Collection>,
    /// The rules of every other name; `None`: there are no others.
    pub others: Option<Collection>,
    /// For each account.
    pub quota: Quota,
}

impl Default for Collections {
    /// Any name is a collection that its owner alone reads and writes; everybody reads `public`, and servers alone write `server`.
    fn default() -> Self {
        let private = Collection { read: Readers::Owner, write: Writers::Owner, value_bytes_max: 16 * 1024 };
        let named = BTreeMap::from([
            ("public".to_owned(), Collection { read: Readers::Public, ..private }),
            ("server".to_owned(), Collection { write: Writers::Server, ..private }),
        ]);
        Self { named, others: Some(private), quota: Quota::default() }
    }
}

impl Collections {
    /// The rules of a collection, if there is one of this name.
    pub fn find(&self, name: &str) -> Option<Collection> {
        self.named.get(name).copied().or(self.others)
    }
}

/// The name of a collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(pub String);

impl FromStr for CollectionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_plain(text, COLLECTION_BYTES_MAX) {
            true => Ok(Self(text.to_owned())),
            false => Err("the name of a collection has 1 to 64 letters, digits, '-', '_', '.' or ':'"),
        }
    }
}

/// The key of a value in its collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub String);

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_plain(text, KEY_BYTES_MAX) {
            true => Ok(Self(text.to_owned())),
            false => Err("a key has 1 to 128 letters, digits, '-', '_', '.' or ':'"),
        }
    }
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(plain)
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose it is.
    pub player: PlayerId,
    /// In which collection.
    pub collection: String,
    /// Under which key.
    pub key: String,
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// JSON, as it was sent.
    pub value: String,
    /// Changes with every write of another value.
    pub version: u64,
    /// Unix milliseconds.
    pub updated_at_ms: u64,
}
