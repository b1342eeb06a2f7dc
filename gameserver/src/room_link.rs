//! What the threads share about one room, and the directory of rooms that admit players.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use protocol::id::{MatchId, PlayerId};
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::watch::figures::Figures;
use crate::watch::live::LiveView;

/// One room as seen from outside its tick thread.
#[derive(Debug)]
pub struct RoomLink {
    /// The match.
    pub id: MatchId,
    /// Who may come, in seat order.
    pub players: Vec<PlayerId>,
    /// What the room is told.
    pub inbox: Inbox,
    /// What the room sends.
    pub outbox: Outbox,
    /// Good tokens for this match that were refused.
    pub join_failures: AtomicU32,
    /// p99 of recent tick times over the budget, in thousandths.
    pub tick_load_permille: AtomicU32,
    /// What its ticks and its clients cost, for the admin port.
    pub figures: Figures,
    /// The world as it is, for those who watch.
    pub live: LiveView,
}

impl RoomLink {
    /// The link of a room that is being made.
    pub fn new(id: MatchId, players: Vec<PlayerId>) -> Self {
        Self {
            id,
            inbox: Inbox::new(players.len()),
            outbox: Outbox::default(),
            figures: Figures::new(players.len()),
            live: LiveView::default(),
            players,
            join_failures: AtomicU32::new(0),
            tick_load_permille: AtomicU32::new(0),
        }
    }
}

/// Rooms that admit players, by match.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<BTreeMap<MatchId, Arc<RoomLink>>>>);

impl Directory {
    /// The room admits players from now on.
    pub fn open(&self, link: Arc<RoomLink>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(link.id, link);
    }

    /// The room admits nobody any more.
    pub fn close(&self, id: MatchId) {
        let closed = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(link) = closed {
            link.live.end();
        }
    }

    /// Whether these (verified) claims open a room here.
    ///
    /// # Errors
    /// [`Refusal::NoMatch`] or [`Refusal::NotOnRoster`].
    pub fn admit(&self, claims: &JoinClaims) -> Result<(), Refusal> {
        let rooms = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.get(&claims.mid).ok_or(Refusal::NoMatch)?;
        if !room.players.contains(&claims.sub) {
            room.join_failures.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::NotOnRoster);
        }
        Ok(())
    }

    /// The room of a match, while it admits players.
    pub fn find(&self, id: MatchId) -> Option<Arc<RoomLink>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Rooms that admit players.
    pub fn links(&self) -> Vec<Arc<RoomLink>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::ServerId;

    use super::*;

    #[test]
    fn only_players_of_a_live_match_are_admitted() {
        let (directory, id) = (Directory::default(), MatchId::from_entropy([1; 16]));
        let player = |byte: u8| PlayerId::from_entropy([byte; 16]);
        let claims = |who| testkit::tokens::join_claims(ServerId::from_entropy([9; 16]), id, who, 1_000, "jti");
        assert_eq!(directory.admit(&claims(player(1))), Err(Refusal::NoMatch));
        let link = Arc::new(RoomLink::new(id, vec![player(1)]));
        directory.open(link.clone());
        assert_eq!(directory.admit(&claims(player(1))), Ok(()));
        assert_eq!(directory.admit(&claims(player(2))), Err(Refusal::NotOnRoster));
        assert_eq!(link.join_failures.load(Ordering::Relaxed), 1);
        directory.close(id);
        assert_eq!(directory.admit(&claims(player(1))), Err(Refusal::NoMatch));
    }
}
