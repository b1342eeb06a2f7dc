//! Players among each other: friends and blocks, the inbox, parties.

mod chat;
mod circle;
mod friends;
pub(in crate::store) mod inbox;
pub(in crate::store) mod parties;

pub use chat::{ChatFault, ChatMessage, Said, Saying};
pub use circle::Circle;
pub use friends::{Companion, FriendAct};
pub use inbox::{ACKED_LIFE_MS, INBOX_LIFE_MS, InboxMessage};
pub use parties::{Entrance, InviteView, NewParty, PartyDone, PartyFault, PartyStep, PartyView};

use crate::db::Tx;
use crate::store::StoreError;

/// Removes what has waited long enough.
pub(in crate::store) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    parties::prune(tx, now_ms).await?;
    chat::prune(tx, now_ms).await?;
    inbox::prune(tx, now_ms).await
}
