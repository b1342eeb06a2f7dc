//! Whether each match stays on one game server, and no server holds what nobody plays: by the allocator's word and by the
//! servers' own. Pure.

use super::seen::{Match, Room, Seen};
use super::{Entry, Event};

/// How long a server may hold a room that nobody plays in, in milliseconds.
pub const ORPHANS_GONE_WITHIN_MS: u64 = 30_000;

/// Once a match is on a server it is never on another one, however often it is asked for; unless the first was killed before.
pub(super) fn a_match_stays_on_its_server(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in &seen.matches {
        let mut places: Vec<(&String, u64)> = it.places.iter().map(|(server, at_ms)| (server, *at_ms)).collect();
        places.sort_by_key(|(_, at_ms)| *at_ms);
        for pair in places.windows(2) {
            let ((first, _), (second, at_ms)) = (pair[0], pair[1]);
            if !was_killed(seen, first, at_ms) {
                faults.push(format!("the match {id} is on {first} and was put on {second} as well"));
            }
        }
        for pair in it.rooms.windows(2).filter(|pair| pair[0].server != pair[1].server) {
            let (first, second) = (&pair[0], &pair[1]);
            let was_told = it.places.contains_key(&first.server);
            let both_ms = end_ms(seen, first).min(end_ms(seen, second)).saturating_sub(second.opened_ms);
            // A room that no caller heard of may be given back while the next server opens its own.
            if !was_killed(seen, &first.server, second.opened_ms) && (was_told || both_ms > ORPHANS_GONE_WITHIN_MS) {
                faults.push(format!("{} and {} both opened a room for the match {id}", first.server, second.server));
            }
        }
    }
}

/// A room closes when its match is over, and soon when nobody was told of it.
pub(super) fn no_room_is_open_for_nothing(seen: &Seen, faults: &mut Vec<String>) {
    for (id, it) in &seen.matches {
        for room in &it.rooms {
            let since_ms = room.opened_ms.max(needless_from_ms(it, room));
            let held_ms = end_ms(seen, room).saturating_sub(since_ms);
            if held_ms > ORPHANS_GONE_WITHIN_MS {
                faults.push(format!("{} held a room for the match {id} for {held_ms} ms for nothing", room.server));
            }
        }
    }
}

/// In the end every server is free again, and soon.
pub(super) fn no_server_is_held_in_the_end(entries: &[&Entry], faults: &mut Vec<String>) {
    for entry in entries {
        if let Event::OrphansGone { after_ms, left } = entry.event
            && (left > 0 || after_ms > ORPHANS_GONE_WITHIN_MS)
        {
            faults.push(format!("{left} servers were held {after_ms} ms after the last player had left"));
        }
    }
}

/// From when on the room is good for nothing: the match is over, or it was never there.
fn needless_from_ms(it: &Match, room: &Room) -> u64 {
    let is_known = it.places.contains_key(&room.server) || (it.places.is_empty() && !it.known.is_empty());
    let word_ms = it.ended_ms.into_iter().chain(it.lost_ms).chain(it.told.values().copied()).min();
    if is_known { word_ms.unwrap_or(u64::MAX) } else { room.opened_ms }
}

fn end_ms(seen: &Seen, room: &Room) -> u64 {
    let killed_ms = seen.killed_ms.get(&room.server).copied().filter(|at_ms| *at_ms >= room.opened_ms);
    let ends = [room.closed_ms, killed_ms, seen.finished_ms];
    ends.into_iter().flatten().min().unwrap_or(room.opened_ms)
}

fn was_killed(seen: &Seen, server: &str, before_ms: u64) -> bool {
    seen.killed_ms.get(server).is_some_and(|at_ms| *at_ms <= before_ms)
}
