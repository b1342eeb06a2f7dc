//! What a history says, sorted by what it is about. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId};
use serde::Serialize;

use super::check::{REGISTERED_WITHIN_MS, TOLD_AFTER_OUTAGE_MS, TOLD_WITHIN_MS};
use super::{Entry, Event};

/// A player can learn of a match so long before or after its platform is killed that the one who writes down the allocator's
/// events misses its begin, in milliseconds.
const UNSEEN_MS: u64 = 1_000;

/// How the reason begins for which a match ends that is given back.
const RELEASED: &str = "released";
/// The service that hears from servers of the end of their matches.
const ALLOCATOR: &str = "allocator";

/// A room of a match, by the word of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) server: String,
    pub(super) opened_ms: u64,
    pub(super) closed_ms: Option<u64>,
}

/// What a history says of one match. A time is of the first word on it.
#[derive(Debug, Default)]
pub(super) struct Match {
    pub(super) started_ms: Option<u64>,
    /// Where the allocator said last that it is.
    pub(super) server: String,
    /// Everywhere that the allocator said it is, and since when.
    pub(super) places: BTreeMap<String, u64>,
    /// Its rooms in the order of time, where game servers write them down.
    pub(super) rooms: Vec<Room>,
    pub(super) roster: BTreeSet<PlayerId>,
    pub(super) ended_ms: Option<u64>,
    /// It ended because its caller gave it back before anyone could play it: no result is due.
    pub(super) was_given_back: bool,
    /// When the last of its rooms was gone, by its servers' own word or with them; or its server with a result that is recorded,
    /// while no allocator could hear of it.
    pub(super) gone_ms: Option<u64>,
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

impl Outage {
    /// Whether it goes on, or was over so shortly before that game servers may not have registered with the new allocator yet.
    fn is_settling(self, at_ms: u64) -> bool {
        self.from_ms <= at_ms && self.until_ms.is_none_or(|until_ms| at_ms <= until_ms + REGISTERED_WITHIN_MS)
    }
}

/// What a history says.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) matches: BTreeMap<MatchId, Match>,
    pub(super) killed_ms: BTreeMap<String, u64>,
    platform_killed_ms: Vec<u64>,
    outages: BTreeMap<String, Vec<Outage>>,
    pub(super) finished_ms: Option<u64>,
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
        seen.let_go();
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
                it.places.entry(server.clone()).or_insert(at_ms);
                it.roster.extend(players);
            }
            Event::Ended { match_id, reason } => {
                let it = self.matches.entry(*match_id).or_default();
                it.ended_ms.get_or_insert(at_ms);
                it.was_given_back = reason.starts_with(RELEASED);
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
            Event::RoomOpened { match_id, server } => {
                let room = Room { server: server.clone(), opened_ms: at_ms, closed_ms: None };
                self.matches.entry(*match_id).or_default().rooms.push(room);
            }
            Event::RoomClosed { match_id, server } => {
                let rooms = &mut self.matches.entry(*match_id).or_default().rooms;
                if let Some(room) = rooms.iter_mut().rfind(|room| room.server == *server) {
                    room.closed_ms = Some(at_ms);
                }
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
            Event::Finished { .. } => self.finished_ms = Some(at_ms),
            Event::Queued { .. }
            | Event::Ticket { match_id: None, .. }
            | Event::Cut { .. }
            | Event::Result { .. }
            | Event::FleetWhole { .. }
            | Event::OrphansGone { .. }
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

    /// Marks the matches whose rooms are all gone: an allocator can die with what it was told last.
    fn let_go(&mut self) {
        let killed_ms = &self.killed_ms;
        let end_ms = |room: &Room| {
            let killed_ms = killed_ms.get(&room.server).copied().filter(|at_ms| *at_ms >= room.opened_ms);
            room.closed_ms.into_iter().chain(killed_ms).min()
        };
        for it in self.matches.values_mut().filter(|it| !it.rooms.is_empty()) {
            let ends: Option<Vec<u64>> = it.rooms.iter().map(end_ms).collect();
            it.gone_ms = ends.and_then(|ends| ends.into_iter().max());
        }
        // On a cluster servers write down no rooms.
        let away = self.outages.get(ALLOCATOR).map_or(&[][..], Vec::as_slice);
        for it in self.matches.values_mut().filter(|it| it.rooms.is_empty() && it.has_result) {
            let killed_ms = killed_ms.get(&it.server).copied().filter(|at_ms| it.started_ms <= Some(*at_ms));
            it.gone_ms = killed_ms.filter(|at_ms| away.iter().any(|outage| outage.is_settling(*at_ms)));
        }
    }

    /// When the match was broken on purpose, if it was.
    pub(super) fn broken_ms(&self, it: &Match) -> Option<u64> {
        let server = if it.server.is_empty() { it.rooms.last().map(|room| &room.server) } else { Some(&it.server) };
        let killed_ms = server.and_then(|server| self.killed_ms.get(server)).copied();
        [killed_ms, it.panicked_ms, it.cut_ms].into_iter().flatten().min()
    }

    /// When nobody could be in the match any more, whoever knew of that.
    pub(super) fn truly_over_ms(&self, it: &Match) -> Option<u64> {
        it.over_ms().into_iter().chain(self.broken_ms(it)).min()
    }

    /// The end of the last outage that begins before `until_ms` and ends after `from_ms`, or that begins within `settle_ms` of
    /// the end of such a one: whoever was away has to settle before it knows anything. `u64::MAX` if it has no end.
    fn outage_end_ms(&self, from_ms: u64, until_ms: u64, settle_ms: u64, told_ms: u64) -> Option<u64> {
        let mut last = None;
        let mut until_ms = until_ms;
        loop {
            let ends = self.outages.values().flatten().filter(|outage| outage.from_ms <= until_ms);
            let ends = ends.map(|outage| outage.until_ms.unwrap_or(u64::MAX));
            let end_ms = ends.filter(|end_ms| *end_ms >= from_ms).max();
            if end_ms == last {
                return last;
            }
            last = end_ms;
            until_ms = end_ms.unwrap_or(0).saturating_add(settle_ms).min(told_ms).max(until_ms);
        }
    }

    /// Players of matches that were broken and did not end, and how long each was in the dark. An outage within the time that
    /// is allowed after the fault, and before the word, excuses them until it is over; so does one that was over so shortly
    /// before the fault that the server may not have registered with the new allocator yet.
    pub(super) fn in_the_dark(&self, patience: u64) -> Vec<Dark> {
        let (within_ms, settle_ms) = (TOLD_WITHIN_MS * patience, TOLD_AFTER_OUTAGE_MS * patience);
        let registered_ms = REGISTERED_WITHIN_MS * patience;
        let mut dark = Vec::new();
        for (match_id, it) in self.matches.iter().filter(|(_, it)| it.ended_ms.is_none()) {
            let Some(broken_ms) = self.broken_ms(it).filter(|_| it.is_over()) else { continue };
            for (player, known_ms) in &it.known {
                let since_ms = broken_ms.max(*known_ms);
                let told_ms = it.told.get(player).copied();
                let until_ms = told_ms.unwrap_or(u64::MAX).min(since_ms + within_ms);
                let unregistered_ms = since_ms.saturating_sub(registered_ms);
                let outage_end_ms =
                    self.outage_end_ms(unregistered_ms, until_ms, settle_ms, told_ms.unwrap_or(u64::MAX));
                let from_ms = outage_end_ms.map_or(since_ms, |end_ms| end_ms.max(since_ms));
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
        [self.ended_ms, self.lost_ms, self.cut_ms, self.gone_ms].iter().any(Option::is_some)
    }

    /// Whether a result of it is due, or came although it was lost: a server can be killed after it spooled the result.
    pub(super) fn is_completed(&self) -> bool {
        (self.ended_ms.is_some() && !self.was_given_back) || (self.is_over() && self.has_result)
    }

    /// Whether its room closed by itself and nobody said why: the allocator can die with a word that it has acknowledged,
    /// and of a match that nobody played no player's history tells.
    pub(super) fn may_have_ended_unheard(&self) -> bool {
        let closed = self.rooms.last().is_some_and(|room| room.closed_ms.is_some());
        closed && self.ended_ms.is_none() && !self.has_result
    }

    /// When it was over, as far as anyone knew first.
    pub(super) fn over_ms(&self) -> Option<u64> {
        let over_ms = [self.ended_ms, self.lost_ms, self.cut_ms, self.gone_ms];
        over_ms.into_iter().flatten().chain(self.told.values().copied()).min()
    }
}

/// What a history comes to; `patience` stretches the times that are allowed. Entries may come in any order.
pub fn tally(entries: &[Entry], patience: u32) -> Tally {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.at_ms);
    let seen = Seen::of(&sorted);
    let started = seen.matches.len() as u64;
    let completed = seen.matches.values().filter(|it| it.is_completed()).count() as u64;
    let dark = seen.in_the_dark(u64::from(patience.max(1)));
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
