//! What clients of the GameMesh backend expect, as far as it is a rule: names that log in, ranks, and messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::rating::Rating;

/// Their ranks per point of a rating: a new player's 25 is their 1,000.
const RANKS_PER_POINT: f64 = 40.0;
/// Letters and digits of a username, at least and at most.
pub const USERNAME_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=32;
/// Most bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 72;
/// Longest name of a room in bytes.
pub const ROOM_BYTES_MAX: usize = 64;
/// How long a token holds, in milliseconds: a day.
pub const TOKEN_LIFE_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long a match is news, in milliseconds: a client that was away for a moment hears of it when it connects again.
pub const MATCH_NEWS_LIFE_MS: u64 = 60_000;

/// A name that one account alone has, and that logs in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

/// A text that is no username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a username has 3 to 32 letters and digits")]
pub struct UsernameError;

impl Username {
    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is found: case does not tell names apart.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, UsernameError> {
        let good = USERNAME_CHARACTERS.contains(&text.len()) && text.bytes().all(|one| one.is_ascii_alphanumeric());
        if good { Ok(Self(text.to_owned())) } else { Err(UsernameError) }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A rating as their clients count it.
pub fn rank(rating: Rating) -> u64 {
    (rating.rating * RANKS_PER_POINT).round().max(0.0) as u64
}

/// A score as their clients send it: a JSON number, which must be whole.
pub fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() <= crate::core::leaderboard::SCORE_MAX as f64;
    is_whole.then_some(number as i64)
}

/// The score to write so that `current` becomes what the client asked for, on a board that keeps scores by `keep`.
pub fn to_write(keep: crate::core::leaderboard::Keep, current: i64, score: i64, increment: bool) -> i64 {
    let target = if increment { current.saturating_add(score) } else { score };
    match keep {
        crate::core::leaderboard::Keep::Sum => target.saturating_sub(current),
        crate::core::leaderboard::Keep::Best | crate::core::leaderboard::Keep::Last => target,
    }
}

/// What a client says over its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ask {
    /// `join` or `leave`.
    pub action: String,
    /// Which room.
    pub room: String,
}

/// What a client does with a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomAct {
    /// Hears it from now on.
    Join(String),
    /// Hears it no more.
    Leave(String),
}

/// Reads what a client said; what is nothing is passed over, as their server does.
pub fn read(text: &str) -> Option<RoomAct> {
    let Ask { action, room } = serde_json::from_str(text).ok()?;
    if room.is_empty() || room.len() > ROOM_BYTES_MAX || room.chars().any(char::is_control) {
        return None;
    }
    match action.as_str() {
        "join" => Some(RoomAct::Join(room)),
        "leave" => Some(RoomAct::Leave(room)),
        _ => None,
    }
}

/// A message to a client.
#[derive(Debug, Serialize)]
struct Message<'a, D> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    data: D,
}

fn text<D: Serialize>(r#type: &'static str, room: Option<&str>, data: D) -> String {
    serde_json::to_string(&Message { r#type, room, data }).expect("plain data")
}

/// Somebody has joined a room.
pub fn player_joined(room: &str, player: &str) -> String {
    text("PlayerJoined", Some(room), serde_json::json!({ "player_id": player }))
}

/// Somebody has left a room.
pub fn player_left(room: &str, player: &str) -> String {
    text("PlayerLeft", Some(room), serde_json::json!({ "player_id": player }))
}

/// A match was found; the room is the match.
pub fn match_found(room: &str, players: &[&str]) -> String {
    text("MatchFound", Some(room), serde_json::json!({ "room_id": room, "players": players }))
}

/// A score has changed.
pub fn leaderboard_updated(player: &str, score: &serde_json::Number, rank: u64) -> String {
    text("LeaderboardUpdated", None, serde_json::json!({ "player_id": player, "score": score, "rank": rank }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::leaderboard::Keep;
    use proptest::prelude::*;

    #[test]
    fn a_username_is_letters_and_digits_and_found_in_any_case() {
        for good in ["neo", "Trinity42", &"x".repeat(32)] {
            assert_eq!(good.parse::<Username>().expect("a username").as_str(), good);
        }
        for bad in ["", "ab", "a b c", "zoë", "a@b.example", &"x".repeat(33)] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
        assert_eq!("NeO".parse::<Username>().expect("a username").key(), "neo");
    }

    #[test]
    fn a_new_players_rank_is_a_thousand() {
        assert_eq!(rank(Rating::default()), 1_000);
        assert_eq!(rank(Rating { rating: -3.0, uncertainty: 1.0 }), 0);
    }

    #[test]
    fn scores_are_whole_numbers() {
        assert_eq!(
            (whole(150.0), whole(-2.0), whole(0.5), whole(1e300), whole(f64::NAN)),
            (Some(150), Some(-2), None, None, None)
        );
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        assert_eq!(read(r#"{"action":"join","room":"a"}"#), Some(RoomAct::Join("a".into())));
        assert_eq!(read(r#"{"action":"leave","room":"a","more":1}"#), Some(RoomAct::Leave("a".into())));
        let long = format!(r#"{{"action":"join","room":"{}"}}"#, "x".repeat(65));
        for nothing in ["", "{}", "[]", r#"{"action":"join","room":""}"#, r#"{"action":"dance","room":"a"}"#, &long] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn messages_are_as_their_clients_read_them() {
        assert_eq!(player_joined("r", "p"), r#"{"type":"PlayerJoined","room":"r","data":{"player_id":"p"}}"#);
        let found = match_found("m", &["a", "b"]);
        assert_eq!(found, r#"{"type":"MatchFound","room":"m","data":{"players":["a","b"],"room_id":"m"}}"#);
        let updated = leaderboard_updated("p", &7.into(), 1);
        assert_eq!(updated, r#"{"type":"LeaderboardUpdated","data":{"player_id":"p","rank":1,"score":7}}"#);
    }

    proptest! {
        /// Whatever the board keeps (but for the best), the score is then what was asked for.
        #[test]
        fn the_score_becomes_what_was_asked_for(current in -1_000_000_i64..1_000_000, score in -1_000_i64..1_000, increment: bool) {
            let target = if increment { current + score } else { score };
            prop_assert_eq!(current + to_write(Keep::Sum, current, score, increment), target);
            prop_assert_eq!(to_write(Keep::Last, current, score, increment), target);
        }
    }
}
