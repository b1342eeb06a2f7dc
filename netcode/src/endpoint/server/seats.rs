//! What outlives a player's session until the player comes back: the resume ticket and the reliable messages.

use std::sync::Arc;

use protocol::id::{MatchId, PlayerId};
use protocol::wire::{CloseReason, Refusal, ResumeId};

use super::ServerEndpoint;
use crate::Micros;
use crate::endpoint::admission::{Seat, seat};
use crate::endpoint::channel::reliable::Streams;
use crate::endpoint::handshake::{Entry, Grant};
use crate::endpoint::session::Session;
use crate::endpoint::{SendError, SessionId};

/// One player's connection to the server across its sessions.
pub(super) struct Line {
    /// The ticket of the newest session that has begun.
    ticket: ResumeId,
    /// The one that it came with, as long as its client may not know the newer.
    earlier: Option<ResumeId>,
    /// The newest session.
    session: SessionId,
    /// The streams, while no session has them.
    kept: Option<Streams>,
}

impl Line {
    fn tickets(&self) -> impl Iterator<Item = ResumeId> + use<> {
        [Some(self.ticket), self.earlier].into_iter().flatten()
    }
}

impl ServerEndpoint {
    /// Queues a reliable message for a player, for the next flush. While the player has no session, the message waits for
    /// the next one.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued. [`SendError::NotOpen`]: the player has never been here, or is gone.
    /// [`SendError::Full`]: 256 segments or 64 KiB are not acknowledged yet. A player who cannot be told everything must
    /// begin from nothing: close its session, if it has one, then [`forget_seat`](Self::forget_seat).
    pub fn send_to_player(
        &mut self,
        now: Micros,
        match_id: MatchId,
        player: PlayerId,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let line = self.lines.get_mut(&(match_id, player)).ok_or(SendError::NotOpen)?;
        match &mut line.kept {
            Some(streams) => streams.sender.push(payload),
            None => {
                let session = line.session;
                self.send_message(now, session, payload)
            }
        }
    }

    /// The player's seat is gone: its ticket is worth nothing, and what was kept for it is dropped. Nothing happens while
    /// the player has an open session: close that first.
    pub fn forget_seat(&mut self, now: Micros, match_id: MatchId, player: PlayerId) {
        let seat = (match_id, player);
        if self.lines.get(&seat).is_some_and(|line| line.kept.is_some()) {
            self.drop_line(now, seat);
        }
    }

    fn drop_line(&mut self, now: Micros, seat: Seat) {
        if let Some(line) = self.lines.remove(&seat) {
            self.revoke(line.tickets());
        }
        // A resume that was offered has nothing to go on with any more.
        if let Some(attempt) = self.half_open.resume_of(&seat) {
            self.abandon(now, &attempt);
        }
    }

    /// The match is over: [`forget_seat`](Self::forget_seat) of all its players.
    pub fn forget_match(&mut self, now: Micros, match_id: MatchId) {
        let players: Vec<PlayerId> =
            self.lines.keys().filter(|(id, _)| *id == match_id).map(|(_, player)| *player).collect();
        for player in players {
            self.forget_seat(now, match_id, player);
        }
    }

    /// Whether the bearer of this grant may still come in.
    pub(super) fn check_grant(&self, grant: &Grant) -> Result<(), Refusal> {
        self.admission.check(&grant.claims, grant.entry)?;
        let Entry::Ticket { lacks, .. } = grant.entry else { return Ok(()) };
        // Nobody has received what was never sent.
        let end = self.streams_of(&seat(&grant.claims)).map(|streams| streams.sender.end_id());
        if end.is_some_and(|end| lacks <= end) { Ok(()) } else { Err(Refusal::ResumeTicket) }
    }

    fn streams_of(&self, seat: &Seat) -> Option<&Streams> {
        let line = self.lines.get(seat)?;
        line.kept.as_ref().or_else(|| self.sessions.get(&line.session).map(|connected| &connected.session.streams))
    }

    /// A session begins on this seat: its ticket is the good one from now on, and it goes on with what was kept.
    pub(super) fn hand_over(&mut self, now: Micros, seat: Seat, id: SessionId, grant: &Grant, session: &mut Session) {
        let earlier = grant.entry.ticket();
        let before = self.lines.insert(seat, Line { ticket: grant.ticket.id, earlier, session: id, kept: None });
        Arc::make_mut(&mut self.admission).issue(grant);
        let used_up = before.iter().flat_map(Line::tickets).filter(|ticket| earlier != Some(*ticket));
        self.revoke(used_up);
        match (grant.entry, before.and_then(|before| before.kept)) {
            (Entry::Ticket { lacks, .. }, Some(streams)) => session.resume(streams, lacks),
            (Entry::Token, Some(streams)) => session.inherit(streams),
            (Entry::Token, None) => {}
            // Offers to resume end with their seat, so this is no case; a client must not wait for streams that are gone.
            (Entry::Ticket { .. }, None) => session.close(now, CloseReason::Protocol),
        }
    }

    /// The client has heard its session: it knows the newest ticket, and the earlier one is used up.
    pub(super) fn revoke_earlier(&mut self, seat: Seat, id: SessionId) {
        let line = self.lines.get_mut(&seat).filter(|line| line.session == id);
        if let Some(earlier) = line.and_then(|line| line.earlier.take()) {
            self.revoke([earlier]);
        }
    }

    fn revoke(&mut self, tickets: impl IntoIterator<Item = ResumeId>) {
        let admission = Arc::make_mut(&mut self.admission);
        tickets.into_iter().for_each(|ticket| admission.revoke(&ticket));
    }

    /// The session on this seat is closed: keeps what outlives it, or forgets it when the player is not to come back.
    pub(super) fn keep(&mut self, now: Micros, seat: Seat, id: SessionId) {
        let Some(connected) = self.sessions.get_mut(&id) else { return };
        let may_return = match connected.closed {
            Some(CloseReason::SeatTaken | CloseReason::TimedOut | CloseReason::Protocol) => true,
            Some(
                CloseReason::Left
                | CloseReason::MatchEnded
                | CloseReason::Draining
                | CloseReason::RoomFailed
                | CloseReason::Kicked,
            )
            | None => false,
        };
        if may_return {
            let streams = std::mem::take(&mut connected.session.streams);
            if let Some(line) = self.lines.get_mut(&seat) {
                line.kept = Some(streams);
            }
            self.bound_lines(now);
        } else {
            self.drop_line(now, seat);
        }
    }

    /// Keeps no more seats without a session than there may be sessions; the one that was left first makes room.
    fn bound_lines(&mut self, now: Micros) {
        let kept = self.lines.iter().filter(|(_, line)| line.kept.is_some());
        if kept.clone().count() <= self.config.sessions_max.max(1) {
            return;
        }
        if let Some(seat) = kept.min_by_key(|(_, line)| line.session).map(|(seat, _)| *seat) {
            self.drop_line(now, seat);
        }
    }
}
