//! Those around a player: its party and its friends.

use protocol::id::PlayerId;

use super::friends::FRIENDS_OF;
use super::parties::{PartyView, party_of};
use crate::args;
use crate::core::session::SessionId;
use crate::db::{Domain, List};
use crate::store::{Store, StoreError};

/// Those around a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// The party that it is in.
    pub party: Option<PartyView>,
    /// Its friends.
    pub friends: Vec<PlayerId>,
}

impl Circle {
    /// Friends and members of the party: those who see the player, and whom it sees.
    pub fn watchers(&self, player: PlayerId) -> Box<[PlayerId]> {
        let members = self.party.iter().flat_map(|view| view.party.players());
        let mut watchers: Vec<_> = self.friends.iter().copied().chain(members).filter(|one| *one != player).collect();
        watchers.sort_unstable();
        watchers.dedup();
        watchers.into()
    }
}

impl Store {
    /// Those around a player.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn circle(&self, player: PlayerId) -> Result<Circle, StoreError> {
        self.db
            .read(Domain::Social, player, |tx, player| {
                Box::pin(async move {
                    let party = party_of(tx, *player).await?;
                    Ok(Circle { party, friends: tx.all(FRIENDS_OF, args![*player]).await? })
                })
            })
            .await
    }

    /// Those of these sessions of accounts that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn living_sessions(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT session_id FROM sessions WHERE session_id IN blobs($1)";
        self.db.all(Domain::Social, sql, args![List(sessions)]).await
    }

    /// How far a player's inbox is acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_acked(&self, player: PlayerId) -> Result<u64, StoreError> {
        let sql = "SELECT acked_seq FROM inbox_heads WHERE player_id = $1";
        Ok(self.db.optional(Domain::Social, sql, args![player]).await?.unwrap_or(0))
    }
}
