//! One match in the [`Book`](super::Book).

use std::collections::BTreeSet;
use std::time::Duration;

use game::{Outcome, PlayerOutcome};
use netcode::Micros;
use netcode::replication::SeatId;
use protocol::certificate::Participation;
use protocol::id::PlayerId;

use super::{Admitted, Fault, Now, PlayerEvent, Submission};
use crate::match_stats::Statistics;
use crate::notice::Notice;
use crate::result::{Attendance, EndedMatch};
use crate::room_thread::RoomOrder;
use crate::seats::seat_id;

/// Longest reason of a result, and longest name of a figure, in bytes.
const TEXT_BYTES_MAX: usize = 64;
/// Most figures of a player.
const STATS_MAX: usize = 64;
/// There are no ticks to measure, so any budget will do.
const NO_BUDGET: Duration = Duration::from_secs(1);

/// How far a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The game has to get ready.
    Assigned,
    /// Players may come.
    Joinable,
    /// One has come.
    Playing,
    /// It is being ended; the game may still say how it stood.
    Ending {
        /// Why.
        reason: &'static str,
        /// Milliseconds of the monotonic clock.
        until_ms: u64,
    },
}

/// What a deadline asks for.
pub(super) enum Due {
    /// End without the game's word.
    End(&'static str),
    /// Ask the game to end.
    Abort(&'static str),
}

/// A match.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) order: RoomOrder,
    pub(super) phase: Phase,
    pub(super) join_failures: u32,
    stats: Statistics,
    admitted: BTreeSet<u8>,
    joined: BTreeSet<u8>,
    present: BTreeSet<u8>,
    /// Players as a game counts them that does not name them.
    counted: Option<u32>,
    opened_ms: u64,
    /// Unix milliseconds of the first player.
    started_at_ms: Option<u64>,
}

impl Entry {
    pub(super) fn new(order: RoomOrder, now: Now) -> Self {
        Self {
            stats: Statistics::new(order.players.len(), NO_BUDGET, micros(now)),
            phase: Phase::Assigned,
            join_failures: 0,
            admitted: BTreeSet::new(),
            joined: BTreeSet::new(),
            present: BTreeSet::new(),
            counted: None,
            opened_ms: now.ms,
            started_at_ms: None,
            order,
        }
    }

    /// Players may come.
    pub(super) fn open(&mut self, now: Now) {
        self.phase = Phase::Joinable;
        self.opened_ms = now.ms;
    }

    /// The match, if players may be in it.
    pub(super) fn live(&mut self) -> Result<&mut Self, Fault> {
        if self.phase == Phase::Assigned { Err(Fault::NotJoinable) } else { Ok(self) }
    }

    pub(super) fn seat(&self, player: PlayerId) -> Option<SeatId> {
        self.order.players.iter().position(|id| *id == player).map(seat_id)
    }

    pub(super) fn players(&self) -> usize {
        self.counted.map_or(self.present.len(), |counted| usize::try_from(counted).unwrap_or(usize::MAX))
    }

    /// Whether anyone has come.
    pub(super) fn is_played(&self) -> bool {
        self.started_at_ms.is_some()
    }

    /// Lets a player in; whether it is the first who comes.
    pub(super) fn admit(&mut self, seat: SeatId, now: Now) -> (Admitted, bool) {
        let again = !self.admitted.insert(seat.0);
        let is_first = self.begin(now);
        let entry = &self.order.roster[usize::from(seat.0)];
        let admitted = Admitted {
            match_id: self.order.id,
            player_id: self.order.players[usize::from(seat.0)],
            team: entry.team,
            name: entry.name.clone(),
            party_id: entry.party_id.clone(),
            again,
        };
        (admitted, is_first)
    }

    /// A player comes or goes; whether it is the first who comes.
    pub(super) fn presence(&mut self, seat: SeatId, event: PlayerEvent, now: Now) -> bool {
        let at = micros(now);
        match event {
            PlayerEvent::Joined if self.present.insert(seat.0) => {
                let again = !self.joined.insert(seat.0);
                self.stats.joined(at, seat, again, None);
            }
            PlayerEvent::Lost if self.present.remove(&seat.0) => self.stats.lost(at, seat),
            PlayerEvent::Left if self.joined.contains(&seat.0) => {
                self.present.remove(&seat.0);
                self.stats.gone(at, seat);
            }
            // Said before, or of one who never came.
            PlayerEvent::Joined | PlayerEvent::Lost | PlayerEvent::Left => {}
        }
        event == PlayerEvent::Joined && self.begin(now)
    }

    /// So many players are there; whether they are the first.
    pub(super) fn count(&mut self, players: u32, now: Now) -> bool {
        self.counted = Some(players);
        players > 0 && self.begin(now)
    }

    fn begin(&mut self, now: Now) -> bool {
        let is_first = self.started_at_ms.is_none();
        self.started_at_ms.get_or_insert(now.unix_ms);
        if self.phase == Phase::Joinable {
            self.phase = Phase::Playing;
        }
        is_first
    }

    pub(super) fn due(&self, now: Now) -> Option<Due> {
        let open_for = Duration::from_millis(now.ms.saturating_sub(self.opened_ms));
        match self.phase {
            Phase::Joinable if open_for >= self.order.join_deadline => Some(Due::End("nobody_joined")),
            Phase::Ending { reason, until_ms } if now.ms >= until_ms => Some(Due::End(reason)),
            Phase::Joinable | Phase::Playing if super::is_too_long(self.opened_ms, now) => Some(Due::Abort("too_long")),
            Phase::Assigned | Phase::Joinable | Phase::Playing | Phase::Ending { .. } => None,
        }
    }

    /// Whether the document can be a result of this match.
    pub(super) fn check(&self, given: &Submission) -> Result<(), Fault> {
        let impossible = |what: String| Err(Fault::Impossible(what));
        if given.reason.is_empty() || given.reason.len() > TEXT_BYTES_MAX || given.reason == "released" {
            return impossible(format!("reason must have 1 to {TEXT_BYTES_MAX} bytes and not be \"released\""));
        }
        let mut seen = BTreeSet::new();
        for player in &given.players {
            let id = player.player_id;
            self.seat(id).ok_or(Fault::NotOnRoster(id))?;
            if !seen.insert(id) {
                return impossible(format!("player {id} is named twice"));
            }
            if player.place == 0 {
                return impossible(format!("player {id} has place 0: places count from 1"));
            }
            if player.stats.len() > STATS_MAX || player.stats.keys().any(|name| name.len() > TEXT_BYTES_MAX) {
                return impossible(format!(
                    "player {id} may have {STATS_MAX} stats, each with a name of at most {TEXT_BYTES_MAX} bytes"
                ));
            }
        }
        Ok(())
    }

    /// The end with a result, and the room empty.
    pub(super) fn end(&mut self, game: &str, tick_rate_hz: u32, given: &Submission, now: Now) -> Vec<Notice> {
        let attendance = self.order.players.iter().zip(&self.order.roster).zip(self.participation(given));
        let players = attendance.map(|((player, entry), participation)| Attendance {
            player: *player,
            team: entry.team,
            participation,
        });
        let placed = given.players.iter().filter_map(|player| {
            Some(PlayerOutcome {
                seat: self.seat(player.player_id)?,
                place: player.place,
                score: player.score,
                stats: player.stats.clone(),
            })
        });
        let ended = EndedMatch {
            id: self.order.id,
            game: game.to_owned(),
            started_at_ms: self.started_at_ms.unwrap_or(now.unix_ms).min(now.unix_ms),
            ended_at_ms: now.unix_ms,
            ticks: given.ticks,
            tick_rate_hz,
            state_hash: 0,
            outcome: Outcome { reason: given.reason.clone(), players: placed.collect() },
            trace_id: self.order.trace_id.clone(),
            players: players.collect(),
        };
        let stats = self.stats.finish(micros(now), self.join_failures);
        vec![Notice::Ended(Box::new(ended), Box::new(stats)), Notice::Emptied(self.order.id)]
    }

    /// The end without one.
    pub(super) fn fail(&mut self, why: &str, now: Now) -> Vec<Notice> {
        let stats = self.stats.finish(micros(now), self.join_failures);
        vec![Notice::Failed(self.order.id, why.to_owned(), Box::new(stats)), Notice::Emptied(self.order.id)]
    }

    /// Whether each player played: as the game says, else as was seen. Whoever was let in has been there, also where the
    /// game does not tell of players.
    fn participation(&self, given: &Submission) -> Vec<Participation> {
        let seen = self.stats.participation();
        let one = |(n, seen): (usize, Participation)| {
            let told = given.players.iter().find(|player| player.player_id == self.order.players[n]);
            let was_let_in = self.admitted.contains(&seat_id(n).0);
            told.and_then(|player| player.participation).unwrap_or(match seen {
                Participation::Absent if was_let_in => Participation::Played,
                seen => seen,
            })
        };
        seen.into_iter().enumerate().map(one).collect()
    }
}

fn micros(now: Now) -> Micros {
    Micros(now.ms * 1_000)
}
