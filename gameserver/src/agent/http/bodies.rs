//! What the game and the agent say to each other, as JSON.

use std::collections::BTreeMap;

use protocol::certificate::Participation;
use protocol::id::{MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::agent::book::{Admitted, Book, Now, Phase, PlayerEvent, Submission, SubmittedPlayer};
use crate::room_thread::RoomOrder;
use crate::stage::ResultStep;

/// Everything that the game has to know: the whole of it, each time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RosterBody {
    /// Number of this state: pass it as `after` to wait for the next.
    cursor: u64,
    /// This incarnation of the agent. With another one, matches of before are lost.
    server_id: String,
    /// Matches to host, oldest first. What is not here any more is over: drop it.
    matches: Vec<MatchBody>,
    drain: DrainBody,
}

/// A match to host.
#[derive(Debug, Serialize, ToSchema)]
struct MatchBody {
    match_id: String,
    /// "assigned": get ready, then POST /joinable. "joinable", "playing". "ending": report the result now.
    phase: &'static str,
    /// Why it is being ended, with "ending".
    #[schema(nullable)]
    reason: Option<&'static str>,
    /// Who may come.
    players: Vec<SeatBody>,
    /// Settings of its queue: mode, map, seconds, …
    #[schema(value_type = Object)]
    settings: serde_json::Map<String, serde_json::Value>,
    /// For the game's own randomness, 16 hex digits.
    seed: String,
    /// A match that nobody has joined this long after it became joinable is ended, in milliseconds.
    join_deadline_ms: u64,
    /// Names the match in every log, 32 hex digits or empty.
    trace_id: String,
}

/// One player of a roster.
#[derive(Debug, Serialize, ToSchema)]
struct SeatBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    /// From 0; in a free-for-all each player has a team of its own.
    team: u32,
    /// To show.
    name: String,
    /// The party that the player queued with, or empty.
    party_id: String,
}

/// Whether this server leaves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DrainBody {
    /// No new match comes. When the last one has ended, the server ends.
    draining: bool,
    /// Why, for people.
    reason: String,
    /// Running matches are ended after so many milliseconds; null where there is no limit.
    deadline_ms: Option<u64>,
}

/// A match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinableBody {
    #[schema(value_type = Uuid)]
    pub(super) match_id: MatchId,
}

/// A match that the game cannot host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefuseBody {
    #[schema(value_type = Uuid)]
    pub(super) match_id: MatchId,
    /// Why, for people; at most 256 bytes.
    pub(super) reason: String,
}

/// A join token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyBody {
    /// As the client gave it.
    pub(super) token: String,
}

/// Who the bearer of the token is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdmittedBody {
    #[schema(value_type = Uuid)]
    match_id: MatchId,
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    team: u32,
    name: String,
    party_id: String,
    /// Whether the player was let in before: close the older connection.
    again: bool,
}

/// What became of a player, or how many there are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlayersBody {
    #[schema(value_type = Uuid)]
    pub(super) match_id: MatchId,
    /// With `event`.
    #[schema(value_type = Option<Uuid>)]
    pub(super) player_id: Option<PlayerId>,
    pub(super) event: Option<PlayerEvent>,
    /// Players connected, from a game that does not name them.
    pub(super) count: Option<u32>,
}

/// A sign of life.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthBody {
    /// Names the game's process, such as a random number made at its start; at most 64 bytes. A new one tells the agent
    /// that the matches of the old one are lost.
    #[serde(default)]
    pub(super) instance: String,
}

/// How a match ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultBody {
    #[schema(value_type = Uuid)]
    pub(super) match_id: MatchId,
    /// "finished" when the rules came to their end; only then ratings change. At most 64 bytes.
    #[serde(default = "finished")]
    reason: String,
    /// Ticks played, where the game has ticks.
    #[serde(default)]
    ticks: u32,
    /// Players with a place. One who is not named shares the last place.
    players: Vec<PlayerResultBody>,
}

fn finished() -> String {
    "finished".into()
}

/// One player's part of a result.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlayerResultBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    /// Place of the player's team, 1 is best; equal places are a draw.
    place: u32,
    /// The game's own score.
    #[serde(default)]
    score: i64,
    /// The game's own figures (kills, deaths, …), at most 64.
    #[serde(default)]
    stats: BTreeMap<String, i64>,
    /// Whether the player played; without it as the agent has seen it.
    participation: Option<ParticipationBody>,
}

/// Whether a player played.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ParticipationBody {
    /// Was there at the end.
    Played,
    /// Was there and had left.
    Abandoned,
    /// Never came.
    Absent,
}

/// How far a result is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryBody {
    /// "spooled": on this server's disk, and on its way to metagame. "acknowledged": booked. "rejected": metagame will never
    /// take it. "released": the match counts for nobody.
    state: &'static str,
}

impl RosterBody {
    pub(super) fn of(book: &Book, server_id: protocol::id::ServerId, now: Now) -> Self {
        Self {
            cursor: book.cursor(),
            server_id: server_id.to_string(),
            matches: book.matches().map(|(order, phase)| MatchBody::of(order, *phase)).collect(),
            drain: DrainBody::of(book, now),
        }
    }
}

impl MatchBody {
    fn of(order: &RoomOrder, phase: Phase) -> Self {
        let seat = |(id, entry): (&PlayerId, &protocol::pb::RosterEntry)| SeatBody {
            player_id: *id,
            team: entry.team,
            name: entry.name.clone(),
            party_id: entry.party_id.clone(),
        };
        let (phase, reason) = match phase {
            Phase::Assigned => ("assigned", None),
            Phase::Joinable => ("joinable", None),
            Phase::Playing => ("playing", None),
            Phase::Ending { reason, .. } => ("ending", Some(reason)),
        };
        Self {
            match_id: order.id.to_string(),
            phase,
            reason,
            players: order.players.iter().zip(&order.roster).map(seat).collect(),
            settings: order.settings.clone(),
            seed: format!("{:016x}", order.seed),
            join_deadline_ms: u64::try_from(order.join_deadline.as_millis()).unwrap_or(u64::MAX),
            trace_id: order.trace_id.clone(),
        }
    }
}

impl DrainBody {
    pub(super) fn of(book: &Book, now: Now) -> Self {
        let leaving = book.leaving();
        Self {
            draining: leaving.is_some(),
            reason: leaving.map(|leaving| leaving.reason.clone()).unwrap_or_default(),
            deadline_ms: leaving.and_then(|leaving| leaving.until_ms).map(|until| until.saturating_sub(now.ms)),
        }
    }
}

impl From<Admitted> for AdmittedBody {
    fn from(admitted: Admitted) -> Self {
        let Admitted { match_id, player_id, team, name, party_id, again } = admitted;
        Self { match_id, player_id, team, name, party_id, again }
    }
}

impl ResultBody {
    pub(super) fn submission(self) -> Submission {
        let player = |player: PlayerResultBody| SubmittedPlayer {
            player_id: player.player_id,
            place: player.place,
            score: player.score,
            stats: player.stats,
            participation: player.participation.map(|participation| match participation {
                ParticipationBody::Played => Participation::Played,
                ParticipationBody::Abandoned => Participation::Abandoned,
                ParticipationBody::Absent => Participation::Absent,
            }),
        };
        Submission { reason: self.reason, ticks: self.ticks, players: self.players.into_iter().map(player).collect() }
    }
}

impl From<ResultStep> for DeliveryBody {
    fn from(step: ResultStep) -> Self {
        let state = match step {
            ResultStep::Spooled => "spooled",
            ResultStep::Acknowledged => "acknowledged",
            ResultStep::Rejected(_) => "rejected",
            ResultStep::Released => "released",
        };
        Self { state }
    }
}
