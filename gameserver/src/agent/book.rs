//! What the agent knows of the game beside it and of its matches.
//!
//! Pure: the time is an argument, and what the host must hear comes out as notices. A match ends here exactly once,
//! with a result or as failed, whoever is first.
//!
//! ```text
//! assigned ──joinable──► joinable ──a player──► playing ──result──► ended
//!     └─ refuse              └── nobody came, aborted, the game is gone ──► over
//! ```

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use protocol::certificate::Participation;
use protocol::id::{MatchId, PlayerId};
use protocol::pb::PlayerPhase;
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use self::entry::Entry;
pub(crate) use self::entry::Phase;
use crate::io_rooms::PlayerNews;
use crate::notice::Notice;
use crate::room_thread::RoomOrder;
use crate::stage::ResultStep;

/// Tokens that are remembered until they expire.
const TOKENS_MAX: usize = 65_536;
/// Matches that are over and remembered, so that a repeated result gets the same answer.
const OVER_MAX: usize = 1_024;
/// No match lasts longer, whatever its game says.
const MATCH_MS_MAX: u64 = 6 * 3_600_000;
/// Time that the game has to report the result of a match that is being aborted.
const LAST_WORD_MS: u64 = 1_000;
/// The same when somebody has lost patience.
const LAST_WORD_HURRIED_MS: u64 = 100;

/// The time, by two clocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    /// Milliseconds of a monotonic clock.
    pub(crate) ms: u64,
    /// Unix milliseconds.
    pub(crate) unix_ms: u64,
}

/// Why the game's word is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// No such match.
    #[error(
        "this agent hosts no such match: it was released, or lost with an earlier agent or game process; drop what you have of it"
    )]
    UnknownMatch,
    /// It is over.
    #[error("the match is over: {0}")]
    Over(String),
    /// It does not admit players yet.
    #[error("the match is not joinable yet: POST /joinable first")]
    NotJoinable,
    /// It is past refusing.
    #[error("the match is joinable already: it can only end with a result")]
    PastRefusing,
    /// Not on the roster.
    #[error("player {0} is not on the match's roster")]
    NotOnRoster(PlayerId),
    /// Another result came before.
    #[error("another result was taken for this match; the first one counts")]
    OtherResult,
    /// The document cannot be a result.
    #[error("{0}")]
    Impossible(String),
}

/// What becomes of a player, by the game's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlayerEvent {
    /// Connected, or back.
    Joined,
    /// Silent; may come back.
    Lost,
    /// Gone.
    Left,
}

/// A result, as the game reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submission {
    /// Why the match ended.
    pub(crate) reason: String,
    /// Ticks played; 0 where the game has none.
    pub(crate) ticks: u32,
    /// Players with a place.
    pub(crate) players: Vec<SubmittedPlayer>,
}

/// One player's part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubmittedPlayer {
    pub(crate) player_id: PlayerId,
    pub(crate) place: u32,
    pub(crate) score: i64,
    pub(crate) stats: BTreeMap<String, i64>,
    /// Whether it played, if the game knows better than the agent.
    pub(crate) participation: Option<Participation>,
}

/// Who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) match_id: MatchId,
    pub(crate) player_id: PlayerId,
    pub(crate) team: u32,
    pub(crate) name: String,
    pub(crate) party_id: String,
    /// Whether this player was let in before.
    pub(crate) again: bool,
}

/// No new match comes; those that run have until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) reason: String,
    pub(crate) until_ms: Option<u64>,
}

/// A match that is over.
#[derive(Debug, Clone)]
struct Over {
    why: String,
    result: Option<(Submission, Option<ResultStep>)>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Book {
    /// Name of the game, in results.
    game: String,
    /// Ticks per second, in results.
    tick_rate_hz: u32,
    /// Grows with every change.
    cursor: u64,
    /// The process behind the game's reports, and when it was heard.
    heard: Option<(String, u64)>,
    /// Why the game is gone for good, if it is.
    gone: Option<String>,
    leaving: Option<Leaving>,
    last_word_ms: u64,
    matches: BTreeMap<MatchId, Entry>,
    over: BTreeMap<MatchId, Over>,
    over_order: VecDeque<MatchId>,
    /// Used tokens and the Unix seconds at which they expire.
    used: BTreeMap<String, u64>,
}

impl Book {
    pub(crate) fn new(game: &str, tick_rate_hz: u32) -> Self {
        Self {
            game: game.to_owned(),
            tick_rate_hz,
            cursor: 1,
            heard: None,
            gone: None,
            leaving: None,
            last_word_ms: LAST_WORD_MS,
            matches: BTreeMap::new(),
            over: BTreeMap::new(),
            over_order: VecDeque::new(),
            used: BTreeMap::new(),
        }
    }

    /// Number of the state: another one means that something has changed.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Hosted matches, oldest first.
    pub(crate) fn matches(&self) -> impl Iterator<Item = (&RoomOrder, &Phase)> {
        self.matches.values().map(|entry| (&entry.order, &entry.phase))
    }

    /// Whether and until when this server leaves.
    pub(crate) fn leaving(&self) -> Option<&Leaving> {
        self.leaving.as_ref()
    }

    /// Players connected.
    pub(crate) fn players(&self) -> usize {
        self.matches.values().map(Entry::players).sum()
    }

    /// When the game was last heard; `None` before the first time.
    pub(crate) fn heard_at_ms(&self) -> Option<u64> {
        self.heard.as_ref().map(|(_, at)| *at)
    }

    /// Why the game is gone for good, if it is.
    pub(crate) fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// A match to host.
    pub(crate) fn start(&mut self, order: RoomOrder, now: Now) -> Option<Notice> {
        if self.gone.is_some() {
            return Some(Notice::Refused(order.id, "the game is gone".into()));
        }
        self.changed();
        self.matches.insert(order.id, Entry::new(order, now));
        None
    }

    /// The game lives. `instance` names its process: another one than before has nothing of the matches that were.
    pub(crate) fn heard(&mut self, instance: &str, now: Now) -> Vec<Notice> {
        let is_new = self.heard.as_ref().is_some_and(|(before, _)| before != instance);
        if self.heard.replace((instance.to_owned(), now.ms)).is_none() {
            self.changed();
        }
        if is_new { self.fail_all("the game was started anew", now) } else { Vec::new() }
    }

    /// The game is gone for good, and its matches are lost.
    pub(crate) fn game_gone(&mut self, why: &str, now: Now) -> Vec<Notice> {
        if self.gone.is_some() {
            return Vec::new();
        }
        self.gone = Some(why.to_owned());
        self.changed();
        let mut notices = self.fail_all(why, now);
        notices.push(Notice::Gone(why.to_owned()));
        notices
    }

    /// The game is ready for the players of a match. Saying so again changes nothing.
    pub(crate) fn joinable(&mut self, id: MatchId, now: Now) -> Result<Option<Notice>, Fault> {
        let entry = self.entry(id)?;
        if entry.phase != Phase::Assigned {
            return entry.live().map(|_| None);
        }
        entry.open(now);
        self.changed();
        Ok(Some(Notice::Joinable(id)))
    }

    /// The game cannot host a match.
    pub(crate) fn refuse(&mut self, id: MatchId, why: &str) -> Result<Notice, Fault> {
        if self.entry(id)?.phase != Phase::Assigned {
            return Err(Fault::PastRefusing);
        }
        self.close(id, format!("refused: {why}"));
        Ok(Notice::Refused(id, why.to_owned()))
    }

    /// Lets a player in whose token is good, once per token. The first one begins the match.
    pub(crate) fn admit(&mut self, claims: &JoinClaims, now: Now) -> Result<(Admitted, Option<Notice>), Refusal> {
        let now_unix_s = now.unix_ms / 1_000;
        self.used.retain(|_, expires_s| *expires_s > now_unix_s);
        let entry = self.matches.get_mut(&claims.mid).ok_or(Refusal::NoMatch)?;
        let seat = match entry.live() {
            Ok(entry) => entry.seat(claims.sub),
            Err(_) => return Err(Refusal::NoMatch),
        };
        let Some(seat) = seat else {
            entry.join_failures += 1;
            return Err(Refusal::NotOnRoster);
        };
        if self.used.contains_key(&claims.jti) {
            entry.join_failures += 1;
            return Err(Refusal::TokenUsed);
        }
        if self.used.len() >= TOKENS_MAX {
            return Err(Refusal::Busy);
        }
        self.used.insert(claims.jti.clone(), claims.exp);
        let (admitted, is_first) = entry.admit(seat, now);
        Ok((admitted, self.playing(claims.mid, is_first)))
    }

    /// Something became of a player.
    pub(crate) fn player(
        &mut self,
        id: MatchId,
        player: PlayerId,
        event: PlayerEvent,
        now: Now,
    ) -> Result<(PlayerNews, Option<Notice>), Fault> {
        let entry = self.entry(id)?.live()?;
        let seat = entry.seat(player).ok_or(Fault::NotOnRoster(player))?;
        let is_first = entry.presence(seat, event, now);
        let phase = match event {
            PlayerEvent::Joined => PlayerPhase::Connected,
            PlayerEvent::Lost => PlayerPhase::Lost,
            PlayerEvent::Left => PlayerPhase::Gone,
        };
        Ok((PlayerNews { id, player, phase }, self.playing(id, is_first)))
    }

    /// How many players there are, from a game that does not name them.
    pub(crate) fn count(&mut self, id: MatchId, players: u32, now: Now) -> Result<Option<Notice>, Fault> {
        let entry = self.entry(id)?.live()?;
        if usize::try_from(players).is_ok_and(|players| players > entry.order.players.len()) {
            return Err(Fault::Impossible(format!("the roster has {} players", entry.order.players.len())));
        }
        let is_first = entry.count(players, now);
        Ok(self.playing(id, is_first))
    }

    fn playing(&mut self, id: MatchId, is_first: bool) -> Option<Notice> {
        if is_first {
            self.changed();
        }
        is_first.then_some(Notice::Playing(id))
    }

    /// The match has ended, and how. The same result again changes nothing.
    pub(crate) fn result(&mut self, id: MatchId, given: Submission, now: Now) -> Result<Vec<Notice>, Fault> {
        if let Some((before, _)) = self.over.get(&id).and_then(|over| over.result.as_ref()) {
            return if *before == given { Ok(Vec::new()) } else { Err(Fault::OtherResult) };
        }
        let (game, tick_rate_hz) = (self.game.clone(), self.tick_rate_hz);
        let entry = self.entry(id)?.live()?;
        entry.check(&given)?;
        let notices = entry.end(&game, tick_rate_hz, &given, now);
        let why = format!("ended: {}", given.reason);
        self.close(id, why);
        if let Some(over) = self.over.get_mut(&id) {
            over.result = Some((given, None));
        }
        Ok(notices)
    }

    /// A result has come a step further.
    pub(crate) fn result_step(&mut self, id: MatchId, step: ResultStep) {
        if let Some((_, at)) = self.over.get_mut(&id).and_then(|over| over.result.as_mut()) {
            *at = Some(step);
            self.changed();
        }
    }

    /// How far the result that the game reported is; `None`: not even on the disk.
    pub(crate) fn result_at(&self, id: MatchId) -> Option<ResultStep> {
        self.over.get(&id).and_then(|over| over.result.as_ref()).and_then(|(_, step)| *step)
    }

    /// Ends a match before its rules do. One that is given back ends at once; otherwise the game may say how it stood.
    pub(crate) fn abort(&mut self, id: MatchId, reason: &'static str, now: Now) -> Vec<Notice> {
        let last_word_ms = self.last_word_ms;
        let Some(entry) = self.matches.get_mut(&id) else { return Vec::new() };
        let mut notices = Vec::new();
        if entry.phase == Phase::Assigned {
            // The host waits for the room, and then refuses.
            entry.open(now);
            notices.push(Notice::Joinable(id));
        }
        if entry.is_played() && reason != "released" {
            if !matches!(entry.phase, Phase::Ending { .. }) {
                entry.phase = Phase::Ending { reason, until_ms: now.ms + last_word_ms };
                self.changed();
            }
        } else {
            notices.extend(self.end_without_word(id, reason, now));
        }
        notices
    }

    /// Ends every match.
    pub(crate) fn abort_all(&mut self, reason: &'static str, now: Now) -> Vec<Notice> {
        let ids: Vec<_> = self.matches.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.abort(id, reason, now)).collect()
    }

    /// No new match from now on.
    pub(crate) fn leave(&mut self, reason: &str, within_ms: Option<u64>, now: Now) {
        let until_ms = within_ms.map(|within| now.ms + within);
        if within_ms == Some(0) {
            self.last_word_ms = LAST_WORD_HURRIED_MS;
        }
        let leaving = self.leaving.get_or_insert_with(|| Leaving { reason: reason.to_owned(), until_ms: None });
        leaving.until_ms = match (leaving.until_ms, until_ms) {
            (Some(before), Some(until)) => Some(before.min(until)),
            (before, until) => before.or(until),
        };
        self.changed();
    }

    /// Looks at every deadline.
    pub(crate) fn look(&mut self, now: Now) -> Vec<Notice> {
        let due: Vec<_> = self.matches.iter().filter_map(|(id, entry)| Some((*id, entry.due(now)?))).collect();
        due.into_iter()
            .flat_map(|(id, due)| match due {
                entry::Due::End(reason) => self.end_without_word(id, reason, now),
                entry::Due::Abort(reason) => self.abort(id, reason, now),
            })
            .collect()
    }

    /// Ends a match of which the game says nothing: with places for nobody.
    fn end_without_word(&mut self, id: MatchId, reason: &str, now: Now) -> Vec<Notice> {
        let given = Submission { reason: reason.to_owned(), ticks: 0, players: Vec::new() };
        let (game, tick_rate_hz) = (self.game.clone(), self.tick_rate_hz);
        let Some(entry) = self.matches.get_mut(&id) else { return Vec::new() };
        let notices = entry.end(&game, tick_rate_hz, &given, now);
        self.close(id, reason.to_owned());
        notices
    }

    fn fail_all(&mut self, why: &str, now: Now) -> Vec<Notice> {
        let matches = std::mem::take(&mut self.matches);
        let mut notices = Vec::new();
        for (id, mut entry) in matches {
            notices.extend(entry.fail(why, now));
            self.note_over(id, format!("lost: {why}"));
        }
        notices
    }

    fn entry(&mut self, id: MatchId) -> Result<&mut Entry, Fault> {
        if let Some(over) = self.over.get(&id) {
            return Err(Fault::Over(over.why.clone()));
        }
        self.matches.get_mut(&id).ok_or(Fault::UnknownMatch)
    }

    fn close(&mut self, id: MatchId, why: String) {
        self.matches.remove(&id);
        self.note_over(id, why);
    }

    fn note_over(&mut self, id: MatchId, why: String) {
        self.changed();
        if self.over.insert(id, Over { why, result: None }).is_none() {
            self.over_order.push_back(id);
        }
        if self.over_order.len() > OVER_MAX
            && let Some(oldest) = self.over_order.pop_front()
        {
            self.over.remove(&oldest);
        }
    }

    fn changed(&mut self) {
        self.cursor += 1;
    }
}

/// Whether a match has lasted longer than any may.
fn is_too_long(opened_ms: u64, now: Now) -> bool {
    now.ms.saturating_sub(opened_ms) >= MATCH_MS_MAX
}
