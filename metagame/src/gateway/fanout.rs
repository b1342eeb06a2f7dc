//! News for the players of all gateways.

use std::sync::Arc;

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hub::Hub;

/// What gateways have to hear. It only hastens what is in the database anyway, chat of the moment and presence excepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum News {
    /// Party, friends or blocks of these players have changed.
    Refresh(Vec<PlayerId>),
    /// These players have new messages in their inboxes.
    Inbox(Vec<PlayerId>),
    /// An encoded message for these players, in order.
    Deliver {
        to: Vec<PlayerId>,
        #[serde(with = "base64_bytes")]
        body: Vec<u8>,
    },
    /// A text for the members of a room.
    Room { room: String, text: String },
    /// A session goes on at another gateway, for this time: whoever had it before lets go of it.
    Moved { session: Uuid, turn: u64 },
    /// A player's presence, for those who may see it.
    Presence { player: PlayerId, status: i32, text: String, to: Vec<PlayerId> },
}

/// Brings news to the hubs. It never blocks and never fails: what cannot be brought is counted and found in the database
/// later.
pub(crate) trait Fanout: Send + Sync {
    fn publish(&self, news: News);
}

/// To the hub of this process alone.
pub(crate) struct InProcess(pub(crate) Arc<Hub>);

impl Fanout for InProcess {
    fn publish(&self, news: News) {
        self.0.take(&news);
    }
}

/// Bytes as text, a third longer instead of three times as long as a list of numbers.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD_NO_PAD.decode(text).map_err(serde::de::Error::custom)
    }
}
