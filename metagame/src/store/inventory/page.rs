//! Reading an inventory in pages.

use protocol::id::PlayerId;

use crate::args;
use crate::core::inventory::{Item, ItemId};
use crate::db::{Domain, StoreError};
use crate::store::Store;

/// By the primary key: a page costs as much as it has rows, wherever it is and however much there is. There is no second index with
/// all columns: each purchase that raises a stack would write it as well.
const PAGE: &str = "\
    SELECT item_id, definition, definition_version, quantity, acquired_at_ms, expires_at_ms FROM items
    WHERE player_id = $1 AND item_id > $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3)
    ORDER BY item_id LIMIT $4";

impl Store {
    /// A player's items after the one with this id, without what has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inventory(
        &self,
        player: PlayerId,
        after: Option<ItemId>,
        limit: u32,
        now_ms: u64,
    ) -> Result<Vec<Item>, StoreError> {
        let after = after.map_or([0; 16], ItemId::to_bytes);
        self.database().all(Domain::Economy, PAGE, args![player, after, now_ms, limit]).await
    }
}
