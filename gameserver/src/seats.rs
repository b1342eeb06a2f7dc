//! The seats of one match: who may sit where, which session holds a seat, and what becomes of silent ones.
//!
//! Pure: the I/O thread tells what happened to sessions, and carries out the [`Effect`]s.

use std::collections::BTreeMap;

use netcode::Micros;
use netcode::endpoint::SessionId;
use netcode::replication::SeatId;
use protocol::id::PlayerId;
use protocol::wire::CloseReason;

/// How long a Lost seat is kept before it is Gone.
pub const LOST_MAX: Micros = Micros(60_000_000);

/// State of one seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Nobody has come yet.
    Empty,
    /// A session plays.
    Connected(SessionId),
    /// Silent or cut off since then; comes back by itself, by a resume ticket or by a fresh token.
    Lost {
        /// The silent session, if it still stands.
        session: Option<SessionId>,
        /// When it fell silent.
        since: Micros,
    },
    /// Left, or Lost for too long. Only a fresh token brings the player back.
    Gone,
}

/// What the I/O thread has to do after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Close this session.
    Close(SessionId, CloseReason),
    /// A session took the seat; `again` if the seat had been taken before (the client starts from nothing).
    Joined {
        /// The seat.
        seat: SeatId,
        /// Whether the player had been there before.
        again: bool,
    },
    /// The seat is Lost.
    Lost(SeatId),
    /// The Lost session was heard again.
    Heard(SeatId),
    /// The seat is Gone; `left` if the player left, otherwise it was lost for too long.
    Gone {
        /// The seat.
        seat: SeatId,
        /// Whether the client said so itself.
        left: bool,
    },
}

/// All seats of one match, in roster order.
#[derive(Debug, Clone)]
pub struct Seats {
    by_player: BTreeMap<PlayerId, SeatId>,
    by_session: BTreeMap<SessionId, SeatId>,
    seats: Vec<Seat>,
}

impl Seats {
    /// Empty seats for these players, seat 0 first.
    pub fn new(players: &[PlayerId]) -> Self {
        let numbered = players.iter().enumerate();
        let by_player = numbered.map(|(n, player)| (*player, seat_id(n))).collect();
        Self { by_player, by_session: BTreeMap::new(), seats: vec![Seat::Empty; players.len()] }
    }

    /// State of a seat; [`Seat::Empty`] for one that does not exist.
    pub fn state(&self, seat: SeatId) -> Seat {
        self.seats.get(usize::from(seat.0)).copied().unwrap_or(Seat::Empty)
    }

    /// The session that a seat's packets go to. A silent session is still sent to: it may hear.
    pub fn session(&self, seat: SeatId) -> Option<SessionId> {
        match self.state(seat) {
            Seat::Connected(session) => Some(session),
            Seat::Lost { session, .. } => session,
            Seat::Empty | Seat::Gone => None,
        }
    }

    /// The seat that this session holds now.
    pub fn seat_of(&self, session: SessionId) -> Option<SeatId> {
        self.by_session.get(&session).copied()
    }

    /// Every session that holds a seat.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.by_session.keys().copied()
    }

    /// A session of `player` was established: it takes the seat from any state, and the older session is closed.
    /// A player who is not on the roster is closed at once.
    pub fn connected(&mut self, player: PlayerId, session: SessionId) -> Vec<Effect> {
        let Some(&seat) = self.by_player.get(&player) else {
            return vec![Effect::Close(session, CloseReason::Kicked)];
        };
        let before = self.state(seat);
        let mut effects = Vec::with_capacity(2);
        if let Some(older) = self.session(seat).filter(|older| *older != session) {
            self.by_session.remove(&older);
            effects.push(Effect::Close(older, CloseReason::SeatTaken));
        }
        self.by_session.insert(session, seat);
        self.seats[usize::from(seat.0)] = Seat::Connected(session);
        effects.push(Effect::Joined { seat, again: before != Seat::Empty });
        effects
    }

    /// Nothing was heard from a session for a while.
    pub fn silent(&mut self, now: Micros, session: SessionId) -> Vec<Effect> {
        self.lose(now, session, Some(session))
    }

    /// A silent session was heard again.
    pub fn heard(&mut self, session: SessionId) -> Vec<Effect> {
        let Some(seat) = self.seat_of(session) else { return Vec::new() };
        if !matches!(self.state(seat), Seat::Lost { .. }) {
            return Vec::new();
        }
        self.seats[usize::from(seat.0)] = Seat::Connected(session);
        vec![Effect::Heard(seat)]
    }

    /// A session has ended. One that no longer holds its seat changes nothing.
    pub fn closed(&mut self, now: Micros, session: SessionId, reason: CloseReason) -> Vec<Effect> {
        let Some(seat) = self.seat_of(session) else { return Vec::new() };
        if matches!(reason, CloseReason::Left | CloseReason::Kicked) {
            self.by_session.remove(&session);
            self.seats[usize::from(seat.0)] = Seat::Gone;
            return vec![Effect::Gone { seat, left: true }];
        }
        let mut effects = self.lose(now, session, None);
        self.by_session.remove(&session);
        if reason == CloseReason::SeatTaken {
            // The endpoint closes an older session right before the newer one connects: no player was lost.
            effects.clear();
        }
        effects
    }

    /// Seats that were Lost for [`LOST_MAX`] are Gone.
    pub fn handle_timeout(&mut self, now: Micros) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (n, state) in self.seats.iter_mut().enumerate() {
            let Seat::Lost { session, since } = *state else { continue };
            if now.0.saturating_sub(since.0) < LOST_MAX.0 {
                continue;
            }
            *state = Seat::Gone;
            if let Some(session) = session {
                self.by_session.remove(&session);
                effects.push(Effect::Close(session, CloseReason::TimedOut));
            }
            effects.push(Effect::Gone { seat: seat_id(n), left: false });
        }
        effects
    }

    /// Marks the seat Lost, keeping the moment at which it became so.
    fn lose(&mut self, now: Micros, session: SessionId, standing: Option<SessionId>) -> Vec<Effect> {
        let Some(seat) = self.seat_of(session) else { return Vec::new() };
        let state = &mut self.seats[usize::from(seat.0)];
        if let Seat::Lost { session, .. } = state {
            *session = standing;
            return Vec::new();
        }
        *state = Seat::Lost { session: standing, since: now };
        vec![Effect::Lost(seat)]
    }
}

/// The seat at place `n` of a roster. Rosters are checked to have at most 255 players when a match is assigned.
pub fn seat_id(n: usize) -> SeatId {
    SeatId(u8::try_from(n).expect("rosters are checked at assignment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: SessionId = SessionId(1);
    const NEW: SessionId = SessionId(2);
    const SEAT: SeatId = SeatId(0);

    fn player(byte: u8) -> PlayerId {
        PlayerId::from_entropy([byte; 16])
    }

    fn at_s(s: u64) -> Micros {
        Micros(s * 1_000_000)
    }

    /// A table with the seat of player 1 brought to a state by `steps`.
    fn seats(steps: &[fn(&mut Seats) -> Vec<Effect>]) -> Seats {
        let mut seats = Seats::new(&[player(1), player(2)]);
        for step in steps {
            step(&mut seats);
        }
        seats
    }

    fn connect(s: &mut Seats) -> Vec<Effect> {
        s.connected(player(1), OLD)
    }
    fn fall_silent(s: &mut Seats) -> Vec<Effect> {
        s.silent(at_s(10), OLD)
    }
    fn cut(s: &mut Seats) -> Vec<Effect> {
        s.closed(at_s(10), OLD, CloseReason::Protocol)
    }
    fn leave(s: &mut Seats) -> Vec<Effect> {
        s.closed(at_s(10), OLD, CloseReason::Left)
    }

    #[test]
    fn a_fresh_token_takes_the_seat_over_from_every_state() {
        let taken = Effect::Close(OLD, CloseReason::SeatTaken);
        let joined = |again| Effect::Joined { seat: SEAT, again };
        let table: [(&str, Seats, Vec<Effect>); 5] = [
            ("empty", seats(&[]), vec![joined(false)]),
            ("connected", seats(&[connect]), vec![taken, joined(true)]),
            ("silent", seats(&[connect, fall_silent]), vec![taken, joined(true)]),
            ("cut off", seats(&[connect, cut]), vec![joined(true)]),
            ("gone", seats(&[connect, leave]), vec![joined(true)]),
        ];
        for (name, mut seats, expected) in table {
            assert_eq!(seats.connected(player(1), NEW), expected, "{name}");
            assert_eq!(seats.state(SEAT), Seat::Connected(NEW), "{name}");
            assert_eq!(seats.closed(at_s(11), OLD, CloseReason::SeatTaken), [], "{name}: the older session is history");
            assert_eq!(seats.state(SEAT), Seat::Connected(NEW), "{name}");
        }
    }

    #[test]
    fn a_session_that_the_endpoint_replaced_is_no_loss() {
        let mut seats = seats(&[connect]);
        assert_eq!(seats.closed(at_s(10), OLD, CloseReason::SeatTaken), []);
        assert_eq!(seats.connected(player(1), NEW), [Effect::Joined { seat: SEAT, again: true }]);
    }

    #[test]
    fn silence_loses_the_seat_a_sound_brings_it_back_and_sixty_seconds_end_it() {
        let mut seats = seats(&[connect]);
        assert_eq!(seats.silent(at_s(10), OLD), [Effect::Lost(SEAT)]);
        assert_eq!(seats.session(SEAT), Some(OLD), "a silent session is still sent to");
        assert_eq!(seats.heard(OLD), [Effect::Heard(SEAT)]);
        assert_eq!(seats.silent(at_s(20), OLD), [Effect::Lost(SEAT)]);
        assert_eq!(seats.closed(at_s(75), OLD, CloseReason::TimedOut), [], "Lost already");
        assert_eq!(seats.handle_timeout(Micros(at_s(80).0 - 1)), []);
        assert_eq!(seats.handle_timeout(at_s(80)), [Effect::Gone { seat: SEAT, left: false }]);
        assert_eq!(seats.handle_timeout(at_s(99)), []);
        assert_eq!(seats.heard(OLD), [], "a session that is over cannot return");
    }

    #[test]
    fn leaving_ends_the_seat_at_once() {
        let mut seats = seats(&[connect]);
        assert_eq!(leave(&mut seats), [Effect::Gone { seat: SEAT, left: true }]);
        assert_eq!((seats.state(SEAT), seats.session(SEAT)), (Seat::Gone, None));
    }

    #[test]
    fn a_seat_gone_by_time_closes_the_session_that_still_stands() {
        let mut seats = seats(&[connect, fall_silent]);
        let gone = [Effect::Close(OLD, CloseReason::TimedOut), Effect::Gone { seat: SEAT, left: false }];
        assert_eq!(seats.handle_timeout(at_s(70)), gone);
    }

    #[test]
    fn a_stranger_gets_no_seat() {
        let mut seats = seats(&[]);
        assert_eq!(seats.connected(player(9), NEW), [Effect::Close(NEW, CloseReason::Kicked)]);
        assert_eq!((seats.silent(at_s(1), NEW), seats.heard(NEW)), (vec![], vec![]));
        assert_eq!(seats.sessions().count(), 0);
    }
}
