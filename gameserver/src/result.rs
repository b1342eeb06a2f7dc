//! The result of a match: built from the game's outcome, signed, and posted to metagame until it is acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use game::Outcome;
use netcode::replication::SeatId;
use protocol::certificate::{MatchResult, Participation, PlayerResult, RESULT_BYTES_MAX, SignedResult};
use protocol::id::{MatchId, PlayerId};
use service::Shutdown;
use service::backoff::Backoff;

/// Most figures of a player that a result carries.
const STATS_MAX: usize = 64;
/// One attempt to deliver that takes longer has failed.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// One player of a match that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attendance {
    /// The player.
    pub player: PlayerId,
    /// Team, as in the roster.
    pub team: u32,
    /// Whether the player played.
    pub participation: Participation,
}

/// A match that has ended, as its room tells it.
#[derive(Debug, Clone)]
pub struct EndedMatch {
    /// The match.
    pub id: MatchId,
    /// Name of the game.
    pub game: String,
    /// Unix milliseconds of the first tick.
    pub started_at_ms: u64,
    /// Unix milliseconds of the last tick.
    pub ended_at_ms: u64,
    /// Ticks played.
    pub ticks: u32,
    /// Tick rate.
    pub tick_rate_hz: u32,
    /// Hash of the last state.
    pub state_hash: u64,
    /// What the game says.
    pub outcome: Outcome,
    /// Trace id of the match.
    pub trace_id: String,
    /// Everyone on the roster, in seat order.
    pub players: Vec<Attendance>,
}

/// The result document. A player whom the outcome does not name shares the last place; figures beyond what a result
/// may hold are cut off rather than losing the match.
pub fn document(ended: &EndedMatch) -> MatchResult {
    let named: BTreeMap<SeatId, _> = ended.outcome.players.iter().map(|player| (player.seat, player)).collect();
    let last = ended.outcome.players.iter().map(|player| player.place).max().unwrap_or(1);
    let players = ended.players.iter().enumerate().map(|(n, attendance)| {
        let outcome = named.get(&crate::seats::seat_id(n));
        PlayerResult {
            player_id: attendance.player,
            team: attendance.team,
            place: outcome.map_or(last, |outcome| outcome.place),
            score: outcome.map_or(0, |outcome| outcome.score),
            participation: attendance.participation,
            stats: outcome.map_or_else(BTreeMap::new, |o| o.stats.clone().into_iter().take(STATS_MAX).collect()),
        }
    });
    let mut result = MatchResult {
        match_id: ended.id,
        game: ended.game.clone(),
        started_at_ms: ended.started_at_ms,
        ended_at_ms: ended.ended_at_ms,
        ticks: ended.ticks,
        tick_rate_hz: ended.tick_rate_hz,
        state_hash: format!("{:016x}", ended.state_hash),
        reason: ended.outcome.reason.clone(),
        trace_id: ended.trace_id.clone(),
        players: players.collect(),
    };
    if serde_json::to_vec(&result).map_or(usize::MAX, |json| json.len()) > RESULT_BYTES_MAX {
        tracing::error!(match_id = %ended.id, "the game's figures do not fit the result; leaving them out");
        result.players.iter_mut().for_each(|player| player.stats.clear());
        result.reason.truncate(result.reason.floor_char_boundary(256));
    }
    result
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Metagame has the result.
    Acknowledged,
    /// Metagame will never take it: the HTTP status says why.
    Rejected(u16),
    /// It was stopped before metagame answered.
    Stopped,
}

/// Posts results to one metagame.
#[derive(Debug, Clone)]
pub struct Courier {
    http: reqwest::Client,
    metagame: String,
}

impl Courier {
    /// A courier to the metagame at this base URL.
    pub fn new(metagame: &str) -> Self {
        // Metagame is a neighbour: the proxy that a host names for the world outside has no way to it.
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.expect("a client with the defaults but for the proxy can be built, as Client::new expects too");
        Self { http, metagame: metagame.trim_end_matches('/').to_owned() }
    }

    /// Posts until metagame answers for good, or `stop` is triggered. Safe to repeat: the match is the key.
    pub async fn deliver(&self, id: MatchId, signed: &SignedResult, stop: &Shutdown) -> Delivery {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let answer = tokio::select! {
                answer = self.attempt(id, signed) => answer,
                () = stop.wait() => return Delivery::Stopped,
            };
            match answer {
                Ok(status) if (200..300).contains(&status) => return Delivery::Acknowledged,
                Ok(status) if is_final(status) => return Delivery::Rejected(status),
                Ok(status) => tracing::warn!(match_id = %id, status, "metagame did not take the result; trying again"),
                Err(error) => {
                    let error = format!("{:#}", error.without_url());
                    tracing::warn!(match_id = %id, error, "metagame cannot be reached with the result; trying again");
                }
            }
            crate::metrics::result_retried();
            let pause = backoff.next(u64::from_le_bytes(service::random::bytes()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.wait() => return Delivery::Stopped,
            }
        }
    }

    async fn attempt(&self, id: MatchId, signed: &SignedResult) -> Result<u16, reqwest::Error> {
        let url = format!("{}/v1/matches/{id}/result", self.metagame);
        Ok(self.http.post(url).timeout(ATTEMPT_MAX).json(signed).send().await?.status().as_u16())
    }
}

/// Whether the same request can never succeed: 4xx, except "too slow" and "too many".
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 429)
}

#[cfg(test)]
mod tests {
    use game::PlayerOutcome;

    use super::*;

    fn ended(players: Vec<PlayerOutcome>) -> EndedMatch {
        let attendance = |byte: u8, participation| Attendance {
            player: PlayerId::from_entropy([byte; 16]),
            team: u32::from(byte),
            participation,
        };
        EndedMatch {
            id: MatchId::from_entropy([1; 16]),
            game: "arena".into(),
            started_at_ms: 1,
            ended_at_ms: 2,
            ticks: 60,
            tick_rate_hz: 60,
            state_hash: 0xAB,
            outcome: Outcome { reason: "finished".into(), players },
            trace_id: "t".into(),
            players: vec![attendance(0, Participation::Played), attendance(1, Participation::Absent)],
        }
    }

    fn outcome(seat: u8, place: u32, stats: BTreeMap<String, i64>) -> PlayerOutcome {
        PlayerOutcome { seat: SeatId(seat), place, score: 7, stats }
    }

    #[test]
    fn everyone_on_the_roster_is_in_the_result_once_with_its_own_figures() {
        let stats = BTreeMap::from([("kills".to_owned(), 3)]);
        let result = document(&ended(vec![outcome(0, 1, stats.clone())]));
        assert_eq!((result.state_hash.as_str(), result.reason.as_str()), ("00000000000000ab", "finished"));
        let rows: Vec<_> = result.players.iter().map(|p| (p.team, p.place, p.score, p.participation)).collect();
        assert_eq!(rows, [(0, 1, 7, Participation::Played), (1, 1, 0, Participation::Absent)]);
        assert_eq!(result.players[0].stats, stats);
    }

    #[test]
    fn figures_beyond_the_bounds_never_cost_the_match() {
        let many = (0..100).map(|n| (format!("{n:03}"), n)).collect();
        assert_eq!(document(&ended(vec![outcome(0, 1, many)])).players[0].stats.len(), STATS_MAX);
        let long = (0..64).map(|n| (format!("{n:02000}"), n)).collect();
        let result = document(&ended(vec![outcome(0, 1, long)]));
        assert!(result.players[0].stats.is_empty() && result.players[0].score == 7);
    }

    #[test]
    fn only_answers_that_a_repetition_cannot_change_are_final() {
        for status in [400, 403, 404, 409, 413, 422] {
            assert!(is_final(status), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504, 302] {
            assert!(!is_final(status), "{status}");
        }
    }
}
