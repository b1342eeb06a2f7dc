//! Whether a history makes sense. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId};

use super::{Entry, Event};

/// How long a player may be in the dark about a lost match, in milliseconds.
pub const TOLD_WITHIN_MS: u64 = 3_000;
/// How long a fleet may be short of a server that was killed, in milliseconds.
const WHOLE_WITHIN_MS: u64 = 5_000;

/// What a history says of one match.
#[derive(Default)]
struct Match {
    started_ms: Option<u64>,
    server: String,
    roster: BTreeSet<PlayerId>,
    ended_ms: Option<u64>,
    lost_ms: Option<u64>,
    panicked_ms: Option<u64>,
    joined: BTreeMap<PlayerId, u64>,
    told: BTreeMap<PlayerId, u64>,
    /// Players who know of it, and since when.
    known: BTreeMap<PlayerId, u64>,
}

/// What a history says, sorted by what it is about.
#[derive(Default)]
struct Seen {
    matches: BTreeMap<MatchId, Match>,
    killed_ms: BTreeMap<String, u64>,
    finished: bool,
}

/// Everything that must not be, in sentences; empty for a good history. Entries may come in any order.
pub fn check(entries: &[Entry]) -> Vec<String> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.at_ms);
    let mut faults = Vec::new();
    let mut seen = Seen::default();
    for entry in &entries {
        seen.take(entry);
    }
    if !seen.finished {
        faults.push("the history does not come to its end".to_owned());
    }
    every_match_is_over(&seen, &mut faults);
    lost_only_by_what_was_broken(&seen, &mut faults);
    players_are_told(&seen, &mut faults);
    nobody_is_in_two_matches(&seen, &mut faults);
    nobody_sits_in_two_matches(&entries, &mut faults);
    results_count_once(&entries, &seen, &mut faults);
    faults
}

impl Seen {
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
            Event::Joined { player, match_id } => {
                let it = self.matches.entry(*match_id).or_default();
                it.joined.entry(*player).or_insert(at_ms);
                it.known.entry(*player).or_insert(at_ms);
            }
            Event::Ticket { player, match_id: Some(match_id), .. } => {
                self.matches.entry(*match_id).or_default().known.entry(*player).or_insert(at_ms);
            }
            Event::Told { player, match_id, .. } => {
                self.matches.entry(*match_id).or_default().told.entry(*player).or_insert(at_ms);
            }
            Event::ServerKilled { server } => {
                self.killed_ms.insert(server.clone(), at_ms);
            }
            Event::Finished { .. } => self.finished = true,
            Event::Queued { .. }
            | Event::Ticket { match_id: None, .. }
            | Event::Cut { .. }
            | Event::Result { .. }
            | Event::Account { .. }
            | Event::FleetWhole { .. }
            | Event::Disturbed { .. } => {}
        }
    }

    /// When the match was broken on purpose, if it was.
    fn broken_ms(&self, it: &Match) -> Option<u64> {
        [self.killed_ms.get(&it.server).copied(), it.panicked_ms].into_iter().flatten().min()
    }
}

impl Match {
    /// When it was over, as far as anyone knew first.
    fn over_ms(&self) -> Option<u64> {
        [self.ended_ms, self.lost_ms].into_iter().flatten().chain(self.told.values().copied()).min()
    }
}

fn every_match_is_over(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in &seen.matches {
        if it.started_ms.is_none() {
            faults.push(format!("players know the match {id}, which never started"));
        }
        if it.ended_ms.is_none() && it.lost_ms.is_none() {
            faults.push(format!("the match {id} on {} started and neither ended nor was lost", it.server));
        }
    }
}

fn lost_only_by_what_was_broken(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in &seen.matches {
        if it.lost_ms.is_some() && it.ended_ms.is_none() && seen.broken_ms(it).is_none() {
            faults.push(format!("the match {id} was lost although nobody broke {} or its room", it.server));
        }
    }
}

fn players_are_told(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in seen.matches.iter().filter(|(_, it)| it.lost_ms.is_some() && it.ended_ms.is_none()) {
        let Some(broken_ms) = seen.broken_ms(it) else { continue };
        for (player, known_ms) in &it.known {
            let since_ms = broken_ms.max(*known_ms);
            match it.told.get(player) {
                None => faults.push(format!("the player {player} was never told that the match {id} is lost")),
                Some(told_ms) if *told_ms > since_ms + TOLD_WITHIN_MS => {
                    let late_ms = told_ms - since_ms;
                    faults.push(format!("the player {player} was told after {late_ms} ms that the match {id} is lost"));
                }
                Some(_) => {}
            }
        }
    }
}

/// By the allocator's word: no player is on the roster of a match that starts before another one of the same player is over.
fn nobody_is_in_two_matches(seen: &Seen, faults: &mut Vec<String>) {
    let mut by_player: BTreeMap<PlayerId, Vec<(u64, Option<u64>, MatchId)>> = BTreeMap::new();
    for (id, it) in &seen.matches {
        let Some(started_ms) = it.started_ms else { continue };
        for player in &it.roster {
            by_player.entry(*player).or_default().push((started_ms, it.over_ms(), *id));
        }
    }
    for (player, matches) in &mut by_player {
        matches.sort_unstable();
        for pair in matches.windows(2) {
            let ((_, over_ms, first), (started_ms, _, second)) = (pair[0], pair[1]);
            if over_ms.is_none_or(|over_ms| over_ms > started_ms) {
                faults.push(format!("the player {player} is in the matches {first} and {second} at once"));
            }
        }
    }
}

/// By the players' word: nobody takes a seat while the last match is not known to be over.
fn nobody_sits_in_two_matches(entries: &[&Entry], faults: &mut Vec<String>) {
    let mut seats: BTreeMap<PlayerId, MatchId> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Joined { player, match_id } => {
                if let Some(other) = seats.insert(*player, *match_id).filter(|other| other != match_id) {
                    faults.push(format!("the player {player} sits in the matches {other} and {match_id} at once"));
                }
            }
            Event::Told { player, match_id, .. } if seats.get(player) == Some(match_id) => {
                seats.remove(player);
            }
            _ => {}
        }
    }
}

fn results_count_once(entries: &[&Entry], seen: &Seen, faults: &mut Vec<String>) {
    let listed = |entry: &&Entry| match &entry.event {
        Event::Account { listed, .. } => listed.clone(),
        _ => Vec::new(),
    };
    let listed: BTreeSet<MatchId> = entries.iter().flat_map(listed).collect();
    // A server can be killed after it spooled a result: then the match is lost first, and counts later.
    let late = |id: &MatchId, it: &Match| it.lost_ms.is_some() && listed.contains(id);
    let over = seen.matches.iter().filter(|(id, it)| it.ended_ms.is_some() || late(id, it)).count() as u64;
    for entry in entries {
        match &entry.event {
            Event::Result { player, match_id, times } if *times != 1 => {
                faults.push(format!("the player {player} has the match {match_id} {times} times in the own history"));
            }
            Event::Account { player, counted, listed } => {
                let distinct = listed.iter().collect::<BTreeSet<_>>().len();
                if distinct != listed.len() {
                    faults.push(format!("the player {player} has a match twice in the own history"));
                }
                if *counted != distinct as u64 {
                    faults.push(format!("the account of {player} counts {counted} matches, its history {distinct}"));
                }
                let is_over = |it: &Match| it.ended_ms.is_some() || it.lost_ms.is_some();
                for id in listed.iter().filter(|id| !seen.matches.get(id).is_some_and(is_over)) {
                    faults.push(format!("the player {player} has a result of the match {id}, which never ended"));
                }
            }
            Event::FleetWhole { after_ms } if *after_ms > WHOLE_WITHIN_MS => {
                faults.push(format!("the fleet was short of a server for {after_ms} ms"));
            }
            Event::Finished { results } if *results != over => {
                faults.push(format!("{over} matches ended, {results} results are recorded"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
