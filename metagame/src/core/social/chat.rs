//! What may be said, and where.

use std::fmt;
use std::str::FromStr;

use protocol::id::{MatchId, PartyId, PlayerId};

/// Longest message in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 512;
/// Messages of a channel that are kept.
pub const HISTORY_MAX: u64 = 100;
/// How long a message is kept at most: 7 days.
pub const HISTORY_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How long players of a match that has ended can talk in its channel: 10 minutes.
pub const AFTER_MATCH_MS: u64 = 10 * 60 * 1_000;
/// Most players that a player mutes.
pub const MUTES_MAX: u64 = 500;

/// Where something is said, as one player sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The party that the player is in.
    Party(PartyId),
    /// A match that the player plays.
    Match(MatchId),
    /// A friend.
    Direct(PlayerId),
}

impl Channel {
    /// Its name in the API.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Party(_) => "party",
            Self::Match(_) => "match",
            Self::Direct(_) => "direct",
        }
    }

    /// The channel of a kind and an id as text; `None` for any other text.
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "party" => id.parse().ok().map(Self::Party),
            "match" => id.parse().ok().map(Self::Match),
            "direct" => id.parse().ok().map(Self::Direct),
            _ => None,
        }
    }

    /// What it is kept under: the same for both players of a direct channel.
    pub fn key(self, player: PlayerId) -> Vec<u8> {
        let (kind, ids): (u8, Vec<[u8; 16]>) = match self {
            Self::Party(party) => (b'p', vec![party.to_bytes()]),
            Self::Match(match_id) => (b'm', vec![match_id.to_bytes()]),
            Self::Direct(other) => {
                let (low, high) = if player < other { (player, other) } else { (other, player) };
                (b'd', vec![low.to_bytes(), high.to_bytes()])
            }
        };
        std::iter::once(kind).chain(ids.into_iter().flatten()).collect()
    }

    /// The same channel as another player of it sees it.
    pub fn seen_by(self, sender: PlayerId, player: PlayerId) -> Self {
        match self {
            Self::Direct(_) if player != sender => Self::Direct(sender),
            same => same,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(id) => id.fmt(f),
            Self::Match(id) => id.fmt(f),
            Self::Direct(id) => id.fmt(f),
        }
    }
}

/// A text that may be said: 1 to [`TEXT_BYTES_MAX`] bytes, something visible in it, no control characters and nothing that turns
/// the direction of the text around it. Spaces at its ends are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatText(String);

/// Why a text may not be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChatTextError {
    /// Nothing visible in it.
    #[error("the message is empty")]
    Empty,
    /// Too many bytes.
    #[error("a message has at most {TEXT_BYTES_MAX} bytes of UTF-8")]
    Long,
    /// A control character, or one that turns the direction of the text.
    #[error("a message may not hold the character U+{0:04X}")]
    Forbidden(u32),
}

impl ChatText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChatText {
    type Err = ChatTextError;

    fn from_str(text: &str) -> Result<Self, ChatTextError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(ChatTextError::Long);
        }
        let turns = |c: char| matches!(u32::from(c), 0x202A..=0x202E | 0x2066..=0x2069);
        if let Some(bad) = text.chars().find(|c| c.is_control() || turns(*c)) {
            return Err(ChatTextError::Forbidden(bad.into()));
        }
        // Zero-width spaces and joiners alone show nothing.
        let is_blank =
            |c: char| c.is_whitespace() || matches!(u32::from(c), 0x200B..=0x200F | 0x2060..=0x2064 | 0xFEFF);
        if text.chars().all(is_blank) {
            return Err(ChatTextError::Empty);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, ChatTextError> {
        text.parse::<ChatText>().map(|text| text.0)
    }

    #[test]
    fn ordinary_texts_pass_and_those_that_disturb_do_not() {
        assert_eq!(check(" gg wp 👋🏽 "), Ok("gg wp 👋🏽".into()));
        assert_eq!(check("שלום"), Ok("שלום".into()));
        assert_eq!(check(" \u{200B} "), Err(ChatTextError::Empty));
        assert_eq!(check("a\nb"), Err(ChatTextError::Forbidden(0x0A)));
        assert_eq!(check("a\u{202E}b"), Err(ChatTextError::Forbidden(0x202E)));
        assert_eq!(check(&"ä".repeat(257)), Err(ChatTextError::Long));
        assert!(check(&"ä".repeat(256)).is_ok());
    }

    #[test]
    fn both_players_of_a_direct_channel_mean_the_same_and_no_two_channels_share_a_key() {
        let (one, two) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        assert_eq!(Channel::Direct(two).key(one), Channel::Direct(one).key(two));
        let (party, same) = (PartyId::from_entropy([1; 16]), MatchId::from_entropy([1; 16]));
        assert_ne!(Channel::Party(party).key(one), Channel::Match(same).key(one));
        assert_eq!(Channel::Direct(two).seen_by(one, two), Channel::Direct(one));
        assert_eq!(Channel::Direct(two).seen_by(one, one), Channel::Direct(two));
        for channel in [Channel::Party(party), Channel::Match(same), Channel::Direct(two)] {
            assert_eq!(Channel::parse(channel.kind(), &channel.to_string()), Some(channel));
        }
        assert_eq!(Channel::parse("world", &one.to_string()), None);
    }
}
