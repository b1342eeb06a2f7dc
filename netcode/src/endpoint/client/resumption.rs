//! What a client can come back with, at each moment.

use protocol::wire::{CloseReason, SessionOffer};

use super::{ClientEndpoint, State};
use crate::endpoint::session::Session;
use crate::endpoint::{ClientEvent, Resumption, SessionStats};

impl ClientEndpoint {
    /// What another endpoint can come back with to the same seat, over either carrier and from any address: until the
    /// server has been heard, what this one came with; then the newest. None before the server has been heard for the
    /// first time, and when the session was closed for a reason that ends it for good (left, match ended, seat taken, …).
    ///
    /// Drain [`poll_event`](Self::poll_event) first: messages that are not polled yet count as received. Use either this
    /// endpoint or the other one from then on.
    pub fn resumption(&self) -> Option<Resumption> {
        match &self.state {
            State::Handshake(_) | State::Asking { .. } => self.credential.resumption().cloned(),
            State::Connected(session) => self.resumption_of(session),
            State::Done(_) => self.left.clone(),
        }
    }

    fn resumption_of(&self, session: &Session) -> Option<Resumption> {
        let may_return = matches!(self.close_reason, None | Some(CloseReason::TimedOut | CloseReason::Protocol));
        let earlier = || self.credential.resumption().map(|resumption| resumption.ticket().clone());
        // Until the server is heard, the ticket before may still be the good one, and the newer one may never be.
        let ticket = if session.is_established() { self.ticket.clone() } else { earlier() };
        ticket.filter(|_| may_return).map(|ticket| Resumption::new(ticket, &session.streams))
    }

    /// Takes the ticket of an offer, and goes on with the streams of the session before.
    pub(super) fn take_up(&mut self, session: &mut Session, offer: &SessionOffer) {
        self.ticket = offer.resume_ticket();
        if let Some(Ok(streams)) = self.credential.resumption().map(Resumption::streams) {
            session.ask_to_resume(streams);
        }
    }

    pub(super) fn timed_out(&mut self) {
        self.left = self.credential.resumption().cloned();
        self.state = State::Done(SessionStats::default());
        self.events.push_back(ClientEvent::TimedOut);
    }
}
