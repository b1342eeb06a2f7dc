//! Which ticket holds a player. A player is in one live ticket at most, so nobody can be in two matches.

use std::collections::BTreeMap;

use protocol::id::{PlayerId, TicketId};

/// A player who is in another live ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub player: PlayerId,
    /// The ticket that holds them.
    pub by: TicketId,
}

/// The live ticket of every player who has one.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<PlayerId, TicketId>);

impl Claims {
    /// The first of these players who is held by another ticket than `except`.
    pub fn held(&self, players: impl IntoIterator<Item = PlayerId>, except: Option<TicketId>) -> Option<Held> {
        let holder = |player| self.0.get(&player).map(|by| Held { player, by: *by });
        players.into_iter().filter_map(holder).find(|held| Some(held.by) != except)
    }

    /// Gives all these players to `ticket`.
    ///
    /// # Errors
    /// The first player who is held already; then none was given.
    pub fn claim(&mut self, players: impl IntoIterator<Item = PlayerId> + Clone, ticket: TicketId) -> Result<(), Held> {
        if let Some(held) = self.held(players.clone(), Some(ticket)) {
            return Err(held);
        }
        self.0.extend(players.into_iter().map(|player| (player, ticket)));
        Ok(())
    }

    /// Frees those of these players that `ticket` holds.
    pub fn release(&mut self, players: impl IntoIterator<Item = PlayerId>, ticket: TicketId) {
        for player in players {
            if self.0.get(&player) == Some(&ticket) {
                self.0.remove(&player);
            }
        }
    }

    /// Players who are in a live ticket.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no player is in a live ticket.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_takes_all_players_or_none_and_only_the_holder_frees_them() {
        let player = |n| PlayerId::from_entropy([n; 16]);
        let (first, second) = (TicketId::from_entropy([1; 16]), TicketId::from_entropy([2; 16]));
        let mut claims = Claims::default();
        claims.claim([player(1), player(2)], first).expect("both are free");
        let held = Held { player: player(2), by: first };
        assert_eq!(claims.claim([player(3), player(2)], second), Err(held));
        assert_eq!(claims.held([player(3)], None), None, "a refused claim took a player");
        claims.release([player(2)], second);
        assert_eq!(claims.held([player(2)], None), Some(held), "a stranger freed the player");
        claims.release([player(1), player(2)], first);
        assert!(claims.is_empty());
    }
}
