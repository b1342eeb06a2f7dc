//! What a history says, sorted by what it is about. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId};
use serde::Serialize;

use super::{Entry, Event};

/// A player can learn of a match so long before or after its platform is killed that the one who writes down the allocator's
/// events misses its begin, in milliseconds.
const UNSEEN_MS: u64 = 1_000;

/// What a history says of one match. A time is of the first word on it.
#[derive(Debug, Default)]
pub(super) struct Match {
    pub(super) started_ms: Option<u64>,
    pub(super) server: String,
    pub(super) roster: BTreeSet<PlayerId>,
    pub(super) ended_ms: Option<u64>,
    pub(super) lost_ms: Option<u64>,
    pub(super) panicked_ms: Option<u64>,
    /// When the platform was killed with the match and everyone who could have told of its end.
    pub(super) cut_ms: Option<u64>,
    pub(super) told: BTreeMap<PlayerId, u64>,
    /// Players who know of it, and since when.
    pub(super) known: BTreeMap<PlayerId, u64>,
    /// Whether a player's account lists its result.
    pub(super) has_result: bool,
}

/// Time in which players could be told nothing, or the allocator knew nothing.
#[derive(Debug, Clone, Copy)]
struct Outage {
    from_ms: u64,
    until_ms: Option<u64>,
}

/// What a history says.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) matches: BTreeMap<MatchId, Match>,
    pub(super) killed_ms: BTreeMap<String, u64>,
    platform_killed_ms: Vec<u64>,
    outages: BTreeMap<String, Vec<Outage>>,
    pub(super) finished: bool,
}

/// A player of a match that was broken, and how long that player was in the dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dark {
    pub(super) match_id: MatchId,
    pub(super) player: PlayerId,
    /// From the fault, or from the end of an outage that came with it, until the player was told; none: never told.
    pub(super) after_ms: Option<u64>,
    /// Whether a service was down meanwhile.
    pub(super) in_outage: bool,
}

/// What a history comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Matches that started.
    #[serde(skip)]
    pub started: u64,
    /// Matches that ended, or whose result arrived all the same.
    #[serde(skip)]
    pub completed: u64,
    /// The others.
    #[serde(skip)]
    pub lost: u64,
    /// Longest that a player of a match that was lost waited to be told, in milliseconds.
    pub told_ms_max: Option<u64>,
    /// The same where a service was down too: from its return on.
    pub told_after_outage_ms_max: Option<u64>,
    /// Longest that the fleet was short of a server that was killed, in milliseconds.
    pub fleet_whole_ms_max: Option<u64>,
    /// Longest from a kill of the platform until matches could be placed again, in milliseconds.
    pub platform_back_ms_max: Option<u64>,
}

impl Seen {
    /// Reads entries that are in the order of time.
    pub(super) fn of(entries: &[&Entry]) -> Self {
        let mut seen = Self::default();
        for entry in entries {
            seen.take(entry);
        }
        seen.cut();
        seen
    }

    fn take(&mut self, Entry { at_ms, event }: &Entry) {
        let at_ms = *at_ms;
        match event {
            Event::Started { match_id, server, players } => {
                let it = self.matches.entry(*match_id).or_default();
                // A new allocator tells again of the matches that it finds.
                it.started_ms.get_or_insert(at_ms);
                it.server.clone_from(server);
                it.roster.extend(players);
            }
            Event::Ended { match_id, .. } => {
                self.matches.entry(*match_id).or_default().ended_ms.get_or_insert(at_ms);
            }
            Event::Lost { match_id, .. } => {
                self.matches.entry(*match_id).or_default().lost_ms.get_or_insert(at_ms);
            }
            Event::RoomPanicked { match_id } => {
                self.matches.entry(*match_id).or_default().panicked_ms.get_or_insert(at_ms);
            }
            Event::Joined { player, match_id } | Event::Ticket { player, match_id: Some(match_id), .. } => {
                self.matches.entry(*match_id).or_default().known.entry(*player).or_insert(at_ms);
            }
            Event::Told { player, match_id, .. } => {
                self.matches.entry(*match_id).or_default().told.entry(*player).or_insert(at_ms);
            }
            Event::Account { listed, .. } => {
                for match_id in listed {
                    self.matches.entry(*match_id).or_default().has_result = true;
                }
            }
            Event::ServerKilled { server } => {
                self.killed_ms.insert(server.clone(), at_ms);
            }
            Event::Stopped { service } => self.goes(service, at_ms),
            Event::Running { service } => self.returns(service, at_ms),
            Event::PlatformKilled { .. } => {
                self.platform_killed_ms.push(at_ms);
                self.goes("platform", at_ms);
            }
            Event::PlatformBack { .. } => self.returns("platform", at_ms),
            Event::Finished { .. } => self.finished = true,
            Event::Queued { .. }
            | Event::Ticket { match_id: None, .. }
            | Event::Cut { .. }
            | Event::Result { .. }
            | Event::FleetWhole { .. }
            | Event::Disturbed { .. } => {}
        }
    }

    fn goes(&mut self, service: &str, from_ms: u64) {
        self.outages.entry(service.to_owned()).or_default().push(Outage { from_ms, until_ms: None });
    }

    fn returns(&mut self, service: &str, until_ms: u64) {
        if let Some(outage) = self.outages.get_mut(service).and_then(|outages| outages.last_mut()) {
            outage.until_ms = Some(until_ms);
        }
    }

    /// Marks the matches that went down with the platform.
    fn cut(&mut self) {
        for it in self.matches.values_mut() {
            let over_ms = it.ended_ms.into_iter().chain(it.lost_ms).min();
            let known_ms = it.known.values().min();
            let was_cut = |at_ms: &&u64| {
                let stood = match it.started_ms {
                    Some(started_ms) => started_ms <= **at_ms,
                    None => known_ms.is_some_and(|known_ms| known_ms.abs_diff(**at_ms) <= UNSEEN_MS),
                };
                stood && over_ms.is_none_or(|over_ms| over_ms > **at_ms)
            };
            it.cut_ms = self.platform_killed_ms.iter().find(was_cut).copied();
        }
    }

    /// When the match was broken on purpose, if it was.
    pub(super) fn broken_ms(&self, it: &Match) -> Option<u64> {
        [self.killed_ms.get(&it.server).copied(), it.panicked_ms, it.cut_ms].into_iter().flatten().min()
    }

    /// The end of the last outage that begins before `until_ms` and ends after `from_ms`; `u64::MAX` if it has none.
    fn outage_end_ms(&self, from_ms: u64, until_ms: u64) -> Option<u64> {
        let ends = self.outages.values().flatten().filter(|outage| outage.from_ms <= until_ms);
        let ends = ends.map(|outage| outage.until_ms.unwrap_or(u64::MAX));
        ends.filter(|end_ms| *end_ms >= from_ms).max()
    }

    /// Players of matches that were broken and did not end, and how long each was in the dark. An outage within
    /// `patience_ms` of the fault, and before the word, excuses them until it is over.
    pub(super) fn in_the_dark(&self, patience_ms: u64) -> Vec<Dark> {
        let mut dark = Vec::new();
        for (match_id, it) in self.matches.iter().filter(|(_, it)| it.ended_ms.is_none()) {
            let Some(broken_ms) = self.broken_ms(it).filter(|_| it.is_over()) else { continue };
            for (player, known_ms) in &it.known {
                let since_ms = broken_ms.max(*known_ms);
                let told_ms = it.told.get(player).copied();
                let until_ms = told_ms.unwrap_or(u64::MAX).min(since_ms + patience_ms);
                let outage_end_ms = self.outage_end_ms(since_ms, until_ms);
                let from_ms = outage_end_ms.unwrap_or(since_ms);
                let after_ms = told_ms.map(|told_ms| told_ms.saturating_sub(from_ms));
                dark.push(Dark { match_id: *match_id, player: *player, after_ms, in_outage: outage_end_ms.is_some() });
            }
        }
        dark
    }
}

impl Match {
    /// Whether it is known to be over.
    pub(super) fn is_over(&self) -> bool {
        self.ended_ms.is_some() || self.lost_ms.is_some() || self.cut_ms.is_some()
    }

    /// Whether a result of it is due, or came although it was lost: a server can be killed after it spooled the result.
    pub(super) fn is_completed(&self) -> bool {
        self.ended_ms.is_some() || (self.is_over() && self.has_result)
    }

    /// When it was over, as far as anyone knew first.
    pub(super) fn over_ms(&self) -> Option<u64> {
        [self.ended_ms, self.lost_ms, self.cut_ms].into_iter().flatten().chain(self.told.values().copied()).min()
    }
}

/// What a history comes to; `told_within_ms` is how soon players must be told of a lost match. Entries may come in any order.
pub fn tally(entries: &[Entry], told_within_ms: u64) -> Tally {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.at_ms);
    let seen = Seen::of(&sorted);
    let started = seen.matches.len() as u64;
    let completed = seen.matches.values().filter(|it| it.is_completed()).count() as u64;
    let dark = seen.in_the_dark(told_within_ms);
    let told = |in_outage| dark.iter().filter(|it| it.in_outage == in_outage).filter_map(|it| it.after_ms).max();
    let longest = |of: fn(&Event) -> Option<u64>| entries.iter().filter_map(|entry| of(&entry.event)).max();
    Tally {
        started,
        completed,
        lost: started - completed,
        told_ms_max: told(false),
        told_after_outage_ms_max: told(true),
        fleet_whole_ms_max: longest(|event| match event {
            Event::FleetWhole { after_ms, .. } => Some(*after_ms),
            _ => None,
        }),
        platform_back_ms_max: longest(|event| match event {
            Event::PlatformBack { after_ms, .. } => Some(*after_ms),
            _ => None,
        }),
    }
}
