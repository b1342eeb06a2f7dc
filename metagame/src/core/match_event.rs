//! What other systems are told of a match: that it started, that it ended, that it was lost.
//!
//! Each is one fact with one event. The id is made of kind and match, so a fact that is found out twice, or again
//! after a backup was restored, is the same event.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use protocol::certificate::{MatchResult, Participation};
use protocol::id::{MatchId, PlayerId};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::core::match_state::LOST_YIELDS_MS;
use crate::core::settlement::PlayerSettlement;

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// The first tick was played.
    Started,
    /// The match is over and its result is recorded.
    Ended,
    /// Its server is gone. Provisional: a valid result within 15 minutes ends the match after all.
    Lost,
}

/// A name that is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no event: there are match.started, match.ended and match.lost")]
pub struct UnknownKind(String);

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Started, Self::Ended, Self::Lost];

    /// The kind's name in settings, in events and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "match.started",
            Self::Ended => "match.ended",
            Self::Lost => "match.lost",
        }
    }

    /// The id of the event of this kind about a match. It holds no dot: a signature joins it to other text by dots.
    pub fn event_id(self, match_id: MatchId) -> String {
        let kind = match self {
            Self::Started => "started",
            Self::Ended => "ended",
            Self::Lost => "lost",
        };
        format!("match_{kind}_{match_id}")
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// On what a match is played; a text that is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Placement {
    /// Incarnation of the game server's process.
    pub server_id: String,
    /// Name of its GameServer or process.
    pub server_name: String,
    /// Build that it runs.
    pub build: String,
    /// Region that it runs in.
    pub region: String,
}

/// What every event says of its match.
#[derive(Debug, Clone, Serialize)]
pub struct MatchFacts {
    /// The match.
    pub match_id: MatchId,
    /// Queue that made it, or empty.
    pub queue: String,
    /// Trace id from ticket to result, or empty.
    pub trace_id: String,
    /// On what it is played.
    #[serde(flatten)]
    pub placement: Placement,
}

/// A player of a match that has no result.
#[derive(Debug, Clone, Serialize)]
pub struct EventPlayer {
    /// The player.
    pub player_id: PlayerId,
    /// The name that it had, or empty.
    pub name: String,
}

/// Who plays, by team.
pub type EventTeams = BTreeMap<u32, Vec<EventPlayer>>;

/// An event, ready to be kept and delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchEvent {
    /// The match.
    pub match_id: MatchId,
    /// What it tells.
    pub kind: EventKind,
    /// The JSON, byte for byte as it is delivered.
    pub body: String,
    /// Unix milliseconds of the fact.
    pub at_ms: u64,
}

impl MatchEvent {
    /// A match that started at `at_ms`.
    pub fn started(facts: &MatchFacts, teams: EventTeams, at_ms: u64) -> Self {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(flatten)]
            facts: &'a MatchFacts,
            started_at_ms: u64,
            teams: Vec<Team<EventPlayer>>,
        }
        let data = Data { facts, started_at_ms: at_ms, teams: by_team(teams) };
        Self::new(EventKind::Started, facts.match_id, at_ms, &data)
    }

    /// A match that was lost at `at_ms`.
    pub fn lost(facts: &MatchFacts, teams: EventTeams, reason: &str, started_at_ms: Option<u64>, at_ms: u64) -> Self {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(flatten)]
            facts: &'a MatchFacts,
            reason: &'a str,
            started_at_ms: Option<u64>,
            lost_at_ms: u64,
            final_at_ms: u64,
            teams: Vec<Team<EventPlayer>>,
        }
        let final_at_ms = at_ms.saturating_add(LOST_YIELDS_MS);
        let data = Data { facts, reason, started_at_ms, lost_at_ms: at_ms, final_at_ms, teams: by_team(teams) };
        Self::new(EventKind::Lost, facts.match_id, at_ms, &data)
    }

    /// A match whose result is recorded; `names` has the players' names, as far as they are known.
    pub fn ended(
        facts: &MatchFacts,
        result: &MatchResult,
        settled: &[PlayerSettlement],
        names: &BTreeMap<PlayerId, String>,
        after_lost: bool,
    ) -> Self {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(flatten)]
            facts: &'a MatchFacts,
            game: &'a str,
            reason: &'a str,
            after_lost: bool,
            started_at_ms: u64,
            ended_at_ms: u64,
            ticks: u32,
            tick_rate_hz: u32,
            teams: Vec<Team<Settled<'a>>>,
        }
        let mut teams: BTreeMap<u32, Vec<Settled<'_>>> = BTreeMap::new();
        for player in settled {
            let name = names.get(&player.result.player_id).map_or("", String::as_str);
            teams.entry(player.result.team).or_default().push(Settled::new(player, name));
        }
        let data = Data {
            facts,
            game: &result.game,
            reason: &result.reason,
            after_lost,
            started_at_ms: result.started_at_ms,
            ended_at_ms: result.ended_at_ms,
            ticks: result.ticks,
            tick_rate_hz: result.tick_rate_hz,
            teams: by_team(teams),
        };
        Self::new(EventKind::Ended, facts.match_id, result.ended_at_ms, &data)
    }

    /// The event's id: the same for the same fact, for ever.
    pub fn id(&self) -> String {
        self.kind.event_id(self.match_id)
    }

    fn new(kind: EventKind, match_id: MatchId, at_ms: u64, data: &impl Serialize) -> Self {
        #[derive(Serialize)]
        struct Envelope<'a, T> {
            id: String,
            r#type: &'static str,
            timestamp: String,
            data: &'a T,
        }
        let id = kind.event_id(match_id);
        let envelope = Envelope { id, r#type: kind.name(), timestamp: iso_8601(at_ms), data };
        let body = serde_json::to_string(&envelope).expect("an event is plain data");
        Self { match_id, kind, body, at_ms }
    }
}

#[derive(Serialize)]
struct Team<P> {
    team: u32,
    players: Vec<P>,
}

fn by_team<P>(teams: BTreeMap<u32, Vec<P>>) -> Vec<Team<P>> {
    teams.into_iter().map(|(team, players)| Team { team, players }).collect()
}

/// A player of a match that has a result.
#[derive(Serialize)]
struct Settled<'a> {
    player_id: PlayerId,
    name: &'a str,
    place: u32,
    score: i64,
    participation: Participation,
    stats: &'a BTreeMap<String, i64>,
    xp_gained: u64,
    rating_before: f64,
    rating_after: f64,
}

impl<'a> Settled<'a> {
    fn new(player: &'a PlayerSettlement, name: &'a str) -> Self {
        Self {
            player_id: player.result.player_id,
            name,
            place: player.result.place,
            score: player.result.score,
            participation: player.result.participation,
            stats: &player.result.stats,
            xp_gained: player.xp_gained,
            rating_before: player.before.rating,
            rating_after: player.after.rating,
        }
    }
}

/// The moment as ISO 8601 in UTC with milliseconds; what is beyond the year 9999 is that year's end.
pub(crate) fn iso_8601(unix_ms: u64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    let moment = moment.unwrap_or(time::macros::datetime!(9999-12-31 23:59:59 UTC));
    moment.format(&Rfc3339).expect("a year of four digits has this form")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> MatchFacts {
        MatchFacts {
            match_id: MatchId::from_entropy([9; 16]),
            queue: "duel".into(),
            trace_id: "t".into(),
            placement: Placement { build: "1.0".into(), ..Placement::default() },
        }
    }

    #[test]
    fn an_event_names_its_match_its_kind_and_its_moment() {
        let player = EventPlayer { player_id: PlayerId::from_entropy([1; 16]), name: "Ada".into() };
        let event = MatchEvent::lost(&facts(), [(1, vec![player])].into(), "died", None, 1_700_000_000_123);
        let json: serde_json::Value = serde_json::from_str(&event.body).expect("JSON");
        assert_eq!(json["id"], event.id());
        assert_eq!((&json["type"], &json["timestamp"]), (&"match.lost".into(), &"2023-11-14T22:13:20.123Z".into()));
        let data = &json["data"];
        assert_eq!(data["match_id"], facts().match_id.to_string());
        assert_eq!((&data["build"], &data["queue"], &data["reason"]), (&"1.0".into(), &"duel".into(), &"died".into()));
        assert_eq!(data["final_at_ms"], 1_700_000_000_123_u64 + LOST_YIELDS_MS);
        assert_eq!((&data["teams"][0]["team"], &data["teams"][0]["players"][0]["name"]), (&1.into(), &"Ada".into()));
    }

    #[test]
    fn ids_differ_by_match_and_kind_alone_and_hold_no_dot() {
        let again = |kind: EventKind| kind.event_id(facts().match_id);
        for kind in EventKind::ALL {
            assert_eq!(again(kind), again(kind));
            assert!(!again(kind).contains('.'));
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_ne!(again(EventKind::Ended), again(EventKind::Lost));
        assert!("match.over".parse::<EventKind>().is_err());
    }

    #[test]
    fn any_time_has_a_form() {
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_8601(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
