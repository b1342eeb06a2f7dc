//! What the game beside an agent says over HTTP: it may be anybody's program, and is answered with a problem at worst.
//!
//! Case: which address (1 byte), body.

use std::time::Duration;

use gameserver::agent::Rehearsal;
use gameserver::room_thread::RoomOrder;
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use serde_json::{Value, json};

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "agent",
    what: "bodies of the agent's HTTP: health, joinable, refuse, verify, players, result",
    cases_per_world: 512,
    bytes_max: 4_096,
    world: || Box::new(Game::new()),
    seeds,
};

const ADDRESSES: [&str; 6] = ["/health", "/joinable", "/refuse", "/verify", "/players", "/result"];
/// Matches of a world.
const MATCHES: u8 = 8;

struct Game {
    agent: Rehearsal,
}

impl Game {
    fn new() -> Self {
        let agent = Rehearsal::new((0..MATCHES).map(order).collect()).expect("a runtime without IO");
        Self { agent }
    }
}

impl Target for Game {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[which, ref body @ ..] = case else { return Ok(0) };
        let address = ADDRESSES[usize::from(which) % ADDRESSES.len()];
        if self.agent.matches() == 0 {
            *self = Self::new();
        }
        let before = self.agent.matches();
        let (status, answer) = self.agent.post(address, body);
        let after = self.agent.matches();
        check(after <= before, || format!("{address}: a match came from nowhere"))?;
        check(status < 500, || format!("{address}: {status}"))?;
        let kind = if status < 300 {
            0
        } else {
            check(before == after, || format!("{address}: refused with {status}, and a match is over"))?;
            kind_of(status, &answer).ok_or_else(|| format!("{address}: {status} with a body that is no problem"))?
        };
        let ended = u64::from(after < before);
        Ok(u64::from(which % 6) << 40 | ended << 32 | u64::from(status) << 16 | kind)
    }
}

/// A number for the kind of a problem; nothing if it is none.
fn kind_of(status: u16, answer: &[u8]) -> Option<u64> {
    let problem: Value = serde_json::from_slice(answer).ok()?;
    let kind = problem["type"].as_str()?.strip_prefix("urn:muster:problem:")?;
    (problem["status"] == status).then(|| xxhash_rust::xxh3::xxh3_64(kind.as_bytes()) & 0xffff)
}

fn match_id(byte: u8) -> MatchId {
    MatchId::from_entropy([byte; 16])
}

fn player_id(byte: u8) -> PlayerId {
    PlayerId::from_entropy([byte; 16])
}

fn order(byte: u8) -> RoomOrder {
    let players = vec![player_id(1), player_id(2)];
    let entry = |(player, team): (&PlayerId, u32)| pb::RosterEntry {
        player_id: player.to_string(),
        team,
        name: format!("player {team}"),
        ..Default::default()
    };
    RoomOrder {
        id: match_id(byte),
        seed: 5,
        tick_rate_hz: 60,
        roster: players.iter().zip(0..).map(entry).collect(),
        players,
        settings: serde_json::Map::new(),
        join_deadline: Duration::from_secs(30),
        trace_id: String::new(),
    }
}

/// What a good game says, of each match something.
fn seeds() -> Vec<Entry> {
    let player = |byte: u8, place: u32| json!({ "player_id": player_id(byte).to_string(), "place": place, "score": 3, "stats": { "kills": 2 }, "participation": "played" });
    let id = |byte: u8| match_id(byte).to_string();
    let rows = [
        ("health", 0, json!({ "instance": "rehearsal" })),
        ("health-empty", 0, json!({})),
        ("joinable", 1, json!({ "match_id": id(0) })),
        ("joinable-other", 1, json!({ "match_id": id(1) })),
        ("refuse", 2, json!({ "match_id": id(2), "reason": "no such map" })),
        ("verify", 3, json!({ "token": "a.b.c" })),
        ("joined", 4, json!({ "match_id": id(0), "player_id": player_id(1).to_string(), "event": "joined" })),
        ("left", 4, json!({ "match_id": id(0), "player_id": player_id(1).to_string(), "event": "left" })),
        ("count", 4, json!({ "match_id": id(0), "count": 2 })),
        (
            "result",
            5,
            json!({ "match_id": id(0), "reason": "finished", "ticks": 9, "players": [player(1, 1), player(2, 2)] }),
        ),
        ("draw", 5, json!({ "match_id": id(1), "players": [player(1, 1), player(2, 1)] })),
        ("unknown", 5, json!({ "match_id": id(99), "players": [] })),
    ];
    rows.map(|(name, which, body)| (name.to_owned(), [&[which], body.to_string().as_bytes()].concat())).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_good_game_says_ends_the_matches_that_it_names() {
        let mut game = Game::new();
        for (name, case) in seeds() {
            game.take(&case).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        }
        // One was refused, two have a result.
        assert_eq!(game.agent.matches(), usize::from(MATCHES) - 3);
    }
}
