//! Whether a history makes sense. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId};

use super::seen::{Dark, Match, Seen};
use super::{Entry, Event, rooms};

/// How long a player may be in the dark about a lost match, in milliseconds.
pub(super) const TOLD_WITHIN_MS: u64 = 3_000;
/// The same where a service was down when the match was lost, from its return on: a new allocator waits for the game servers
/// that there are before it calls a match lost.
pub(super) const TOLD_AFTER_OUTAGE_MS: u64 = 10_000;
/// How long game servers may take to register with a new allocator, in milliseconds: its `register_timeout`. Of a match on a
/// server that dies before, the allocator learns when that time is over.
pub(super) const REGISTERED_WITHIN_MS: u64 = 5_000;
/// How long a fleet may be short of a server that was killed, in milliseconds.
const WHOLE_WITHIN_MS: u64 = 5_000;

/// Everything that must not be, in sentences; empty for a good history. Entries may come in any order. `patience` stretches
/// the times that are allowed: 1 where the machine has its work done, more where it is slow or shared.
pub fn check(entries: &[Entry], patience: u32) -> Vec<String> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.at_ms);
    let mut faults = Vec::new();
    let seen = Seen::of(&entries);
    if seen.finished_ms.is_none() {
        faults.push("the history does not come to its end".to_owned());
    }
    let patience = u64::from(patience.max(1));
    every_match_is_over(&seen, &mut faults);
    lost_only_by_what_was_broken(&seen, &mut faults);
    rooms::a_match_stays_on_its_server(&seen, &mut faults);
    rooms::no_room_is_open_for_nothing(&seen, &mut faults);
    rooms::no_server_is_held_in_the_end(&entries, &mut faults);
    players_are_told(&seen, patience, &mut faults);
    nobody_is_in_two_matches(&seen, &mut faults);
    nobody_sits_in_two_matches(&entries, &mut faults);
    results_count_once(&entries, &seen, &mut faults);
    results_stay(&entries, &mut faults);
    the_fleet_is_whole_again(&entries, patience, &mut faults);
    a_killed_platform_comes_back(&entries, &mut faults);
    faults
}

fn every_match_is_over(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in &seen.matches {
        // A server can die, and the allocator with it, before anyone but the players hears of the match.
        if it.started_ms.is_none() && it.cut_ms.is_none() && it.rooms.is_empty() {
            faults.push(format!("players know the match {id}, which never started"));
        }
        if !it.is_over() {
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

fn players_are_told(seen: &Seen, patience: u64, faults: &mut Vec<String>) {
    for Dark { match_id, player, after_ms, in_outage } in seen.in_the_dark(patience) {
        let allowed_ms = patience * if in_outage { TOLD_AFTER_OUTAGE_MS } else { TOLD_WITHIN_MS };
        match after_ms {
            None => faults.push(format!("the player {player} was never told that the match {match_id} is lost")),
            Some(after_ms) if after_ms > allowed_ms => {
                faults.push(format!(
                    "the player {player} was told after {after_ms} ms that the match {match_id} is lost"
                ));
            }
            Some(_) => {}
        }
    }
}

/// By the allocator's word: no player is on the roster of a match that starts before another one of the same player is over,
/// or died with its server.
fn nobody_is_in_two_matches(seen: &Seen, faults: &mut Vec<String>) {
    let mut by_player: BTreeMap<PlayerId, Vec<(u64, Option<u64>, MatchId)>> = BTreeMap::new();
    for (id, it) in &seen.matches {
        let Some(started_ms) = it.started_ms else { continue };
        // Whoever was never told of it sits in no match; its room must close soon, which is judged by itself.
        for player in it.roster.iter().filter(|player| it.rooms.is_empty() || it.known.contains_key(player)) {
            by_player.entry(*player).or_default().push((started_ms, seen.truly_over_ms(it), *id));
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
    let over = seen.matches.values().filter(|it| it.is_completed()).count() as u64;
    let unheard = seen.matches.values().filter(|it| it.may_have_ended_unheard()).count() as u64;
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
                for id in listed.iter().filter(|id| !seen.matches.get(id).is_some_and(Match::is_over)) {
                    faults.push(format!("the player {player} has a result of the match {id}, which never ended"));
                }
            }
            Event::Finished { results, .. } if !(over..=over + unheard).contains(results) => {
                faults.push(format!("{over} matches ended, {results} results are recorded"));
            }
            _ => {}
        }
        if let Event::Finished { spooled: 1.., .. } = entry.event {
            faults.push("results still wait in the spool".to_owned());
        }
    }
}

/// What a player once had in the own history is there in the end.
fn results_stay(entries: &[&Entry], faults: &mut Vec<String>) {
    let mut had: BTreeSet<(PlayerId, MatchId)> = BTreeSet::new();
    for entry in entries {
        match &entry.event {
            Event::Result { player, match_id, .. } => {
                had.insert((*player, *match_id));
            }
            Event::Account { player, listed, .. } => {
                let gone = had.iter().filter(|(of, match_id)| of == player && !listed.contains(match_id));
                faults.extend(
                    gone.map(|(_, id)| format!("the player {player} no longer has the result of the match {id}")),
                );
            }
            _ => {}
        }
    }
}

fn the_fleet_is_whole_again(entries: &[&Entry], patience: u64, faults: &mut Vec<String>) {
    for entry in entries {
        if let Event::FleetWhole { after_ms, servers } = entry.event
            && after_ms > WHOLE_WITHIN_MS * patience
        {
            faults.push(format!("the fleet of {servers} was short of a server for {after_ms} ms"));
        }
    }
}

fn a_killed_platform_comes_back(entries: &[&Entry], faults: &mut Vec<String>) {
    let mut before = None;
    for entry in entries {
        match entry.event {
            Event::PlatformKilled { accounts, results } => before = Some((accounts, results)),
            Event::PlatformBack { orphans, accounts, results, .. } => {
                let (accounts_before, results_before) = before.take().unwrap_or_default();
                if orphans > 0 {
                    faults.push(format!("{orphans} processes outlived the killed platform"));
                }
                if accounts < accounts_before || results < results_before {
                    faults.push(format!(
                        "the killed platform had {accounts_before} accounts and {results_before} results, and came back with \
                         {accounts} and {results}"
                    ));
                }
            }
            _ => {}
        }
    }
    if before.is_some() {
        faults.push("the killed platform did not come back".to_owned());
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
