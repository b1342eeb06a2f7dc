//! How a session ends: reliable messages first, then Close three times, then nothing.

use protocol::wire::CloseReason;

use super::limits::{CLOSE_INTERVAL_MIN, CLOSE_SENDS, LINGER_MAX};
use super::session::{Session, SessionEvent};
use crate::Micros;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Payloads go both ways.
    Open,
    /// Closed by us; the last reliable messages get some time to arrive.
    Lingering { reason: CloseReason, until: Micros },
    /// Close is being sent.
    Closing { reason: CloseReason, sends_left: u32, next_at: Micros },
    /// Nothing is sent or taken any more.
    Ended,
}

impl Phase {
    pub(super) fn takes_packets(self) -> bool {
        matches!(self, Self::Open | Self::Lingering { .. } | Self::Closing { .. })
    }

    pub(super) fn is_closing(self) -> bool {
        matches!(self, Self::Closing { .. })
    }

    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Ended)
    }

    pub(super) fn next_timeout(self) -> Option<Micros> {
        match self {
            Self::Lingering { until, .. } => Some(until),
            Self::Closing { next_at, .. } => Some(next_at),
            Self::Open | Self::Ended => None,
        }
    }
}

impl Session {
    /// Ends the session. Where it ends in order (left, match ended, draining), reliable messages that are not
    /// acknowledged yet are resent for up to 3 s first; otherwise Close goes out at once.
    pub(super) fn close(&mut self, now: Micros, reason: CloseReason) {
        if !self.is_open() {
            return;
        }
        self.unreliable.clear();
        let in_order = matches!(reason, CloseReason::Left | CloseReason::MatchEnded | CloseReason::Draining);
        self.phase = if in_order && self.streams.sender.len() > 0 {
            Phase::Lingering { reason, until: now + LINGER_MAX }
        } else {
            Phase::Closing { reason, sends_left: CLOSE_SENDS, next_at: now }
        };
        self.emit(SessionEvent::Closed { reason, by_peer: false });
    }

    pub(super) fn closed_by_peer(&mut self, reason: CloseReason) {
        self.lost(reason, true);
    }

    /// The carrier is gone: nothing can be said any more.
    pub(super) fn lost(&mut self, reason: CloseReason, by_peer: bool) {
        if self.is_open() {
            self.emit(SessionEvent::Closed { reason, by_peer });
        }
        self.phase = Phase::Ended;
    }

    /// Moves on from lingering when everything is delivered or the time is up.
    pub(super) fn advance_closing(&mut self, now: Micros) {
        if let Phase::Lingering { reason, until } = self.phase
            && (now >= until || self.streams.sender.len() == 0)
        {
            self.phase = Phase::Closing { reason, sends_left: CLOSE_SENDS, next_at: now };
        }
    }

    /// The Close that is due now, if one is.
    pub(super) fn take_close(&mut self, now: Micros) -> Option<CloseReason> {
        let Phase::Closing { reason, sends_left, next_at } = self.phase else { return None };
        if now < next_at {
            return None;
        }
        self.phase = if sends_left > 1 {
            let next_at = now + self.rtt.resend_after().max(CLOSE_INTERVAL_MIN);
            Phase::Closing { reason, sends_left: sends_left - 1, next_at }
        } else {
            Phase::Ended
        };
        Some(reason)
    }
}
