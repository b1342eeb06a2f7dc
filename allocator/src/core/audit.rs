//! Matches that others believe alive, and that died with their server while no leader listened.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::id::MatchId;
use protocol::pb::MatchEventKind;

use super::matches::{Match, MatchState, Over, OverWhy};
use super::now::Now;
use super::request::MatchRequest;
use super::state::{Core, EventDetails};

/// Not every server of an earlier leader has been heard of: any of them may bring a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("servers of an earlier leader have not registered yet: try again")]
pub struct NotSettled;

impl Core {
    /// Compares the matches that the caller believes alive with what this leader knows. A leader knows the matches that it
    /// placed, and those that servers brought along; a match that it knows nothing of had a server that was gone before it
    /// could say so, and is lost. A match that this leader has called lost is called so again: the caller has missed it. Says how
    /// many are lost. LOST is provisional: it yields to a server that comes after all, and to a result.
    ///
    /// # Errors
    /// [`NotSettled`]; nothing changed.
    pub fn audit(&mut self, believed: &[MatchId], now: Now) -> Result<u32, NotSettled> {
        if !self.settled {
            return Err(NotSettled);
        }
        let mut lost = 0;
        for match_id in believed {
            match self.matches.get(*match_id).map(|known| &known.state) {
                None => self.remember_lost(*match_id, now),
                Some(MatchState::Over(Over { why: OverWhy::Lost { .. }, .. })) => {}
                Some(_) => continue,
            }
            let details = EventDetails::because("no server brought it back");
            self.log_event(*match_id, MatchEventKind::Lost, None, details, now);
            lost += 1;
        }
        Ok(lost)
    }

    fn remember_lost(&mut self, match_id: MatchId, now: Now) {
        let request = Arc::new(MatchRequest::restored(match_id, Vec::new()));
        // It may have been played, so it is never placed again.
        let why = OverWhy::Lost { played: true };
        let forget_at = now.at + self.timing.remember;
        let state = MatchState::Over(Over { why, server: None, orphans: BTreeSet::new(), forget_at });
        self.matches.put(Match { request, attempt: 0, order: 0, epoch: self.epoch, state });
    }
}
