//! Reading a long list in pages: an opaque cursor says where the last page ended, so that rows that come in between
//! neither repeat nor hide others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::id::{MatchId, PlayerId};

use super::inventory::ItemId;
use super::kv::Key;

/// Entries of a page where the caller names no limit.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most entries of a page.
pub const LIMIT_MAX: u32 = 200;

/// The limit that a caller gets: 1 to [`LIMIT_MAX`].
pub fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// A text that is no cursor of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this list gave: begin again without one")]
pub struct CursorError;

/// The last entry of a page of match history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryCursor {
    /// Unix milliseconds.
    pub ended_at_ms: u64,
    /// The match.
    pub match_id: MatchId,
}

impl HistoryCursor {
    /// The cursor as text.
    pub fn encode(self) -> String {
        let mut bytes = vec![b'h'];
        bytes.extend_from_slice(&self.ended_at_ms.to_be_bytes());
        bytes.extend_from_slice(&self.match_id.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 25] = decode(text, b'h')?;
        Ok(Self {
            ended_at_ms: u64::from_be_bytes(part(&bytes[1..9])),
            match_id: MatchId::from_bytes(part(&bytes[9..])),
        })
    }
}

/// The last entry of a page of a leaderboard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardCursor {
    /// Its rank.
    pub rank: u64,
    /// Its score.
    pub score: f64,
    /// The player.
    pub player_id: PlayerId,
}

impl BoardCursor {
    /// The cursor as text.
    pub fn encode(self) -> String {
        let mut bytes = vec![b'b'];
        bytes.extend_from_slice(&self.rank.to_be_bytes());
        bytes.extend_from_slice(&self.score.to_be_bytes());
        bytes.extend_from_slice(&self.player_id.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 33] = decode(text, b'b')?;
        let score = f64::from_be_bytes(part(&bytes[9..17]));
        if !score.is_finite() {
            return Err(CursorError);
        }
        let rank = u64::from_be_bytes(part(&bytes[1..9]));
        Ok(Self { rank, score, player_id: PlayerId::from_bytes(part(&bytes[17..])) })
    }
}

/// The last entry of a list that is sorted by player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayerCursor(pub PlayerId);

impl PlayerCursor {
    /// The cursor as text.
    pub fn encode(self) -> String {
        let mut bytes = vec![b'p'];
        bytes.extend_from_slice(&self.0.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 17] = decode(text, b'p')?;
        Ok(Self(PlayerId::from_bytes(part(&bytes[1..]))))
    }
}

/// The last movement of a page of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletCursor {
    /// Its number.
    pub number: u64,
}

impl WalletCursor {
    /// The cursor as text.
    pub fn encode(self) -> String {
        let mut bytes = vec![b'w'];
        bytes.extend_from_slice(&self.number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 9] = decode(text, b'w')?;
        Ok(Self { number: u64::from_be_bytes(part(&bytes[1..])) })
    }
}

/// The last item of a page of an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemCursor {
    /// The item.
    pub item_id: ItemId,
}

impl ItemCursor {
    /// The cursor as text.
    pub fn encode(self) -> String {
        let mut bytes = vec![b'i'];
        bytes.extend_from_slice(&self.item_id.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 17] = decode(text, b'i')?;
        Ok(Self { item_id: ItemId::from_bytes(part(&bytes[1..])) })
    }
}

/// The last key of a page of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCursor(pub String);

impl KeyCursor {
    /// The cursor as text.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([b"k", self.0.as_bytes()].concat())
    }

    /// Reads [`encode`](Self::encode)'s text.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let key = bytes.strip_prefix(b"k").ok_or(CursorError)?;
        let key = std::str::from_utf8(key).map_err(|_| CursorError)?;
        // As a key is: PostgreSQL refuses the character NUL.
        key.parse::<Key>().map(|key| Self(key.0)).map_err(|_| CursorError)
    }
}

fn decode<const N: usize>(text: &str, kind: u8) -> Result<[u8; N], CursorError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
    let bytes: [u8; N] = bytes.try_into().map_err(|_| CursorError)?;
    if bytes[0] == kind { Ok(bytes) } else { Err(CursorError) }
}

fn part<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller cuts the right length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_is_of_one_kind_of_list() {
        let history = HistoryCursor { ended_at_ms: 7, match_id: MatchId::from_entropy([1; 16]) };
        let board = BoardCursor { rank: 3, score: -1.5, player_id: PlayerId::from_entropy([2; 16]) };
        assert_eq!(HistoryCursor::decode(&history.encode()), Ok(history));
        assert_eq!(BoardCursor::decode(&board.encode()), Ok(board));
        let player = PlayerCursor(board.player_id);
        assert_eq!(PlayerCursor::decode(&player.encode()), Ok(player));
        assert_eq!(PlayerCursor::decode(&history.encode()), Err(CursorError));
        let key = KeyCursor("slot-1".into());
        assert_eq!(
            (KeyCursor::decode(&key.encode()), KeyCursor::decode(&player.encode())),
            (Ok(key), Err(CursorError))
        );
        assert_eq!(HistoryCursor::decode(&board.encode()), Err(CursorError));
        assert_eq!(BoardCursor::decode(&BoardCursor { score: f64::NAN, ..board }.encode()), Err(CursorError));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,64}") {
            let _ = HistoryCursor::decode(&text);
            let _ = BoardCursor::decode(&text);
            let _ = PlayerCursor::decode(&text);
            let _ = KeyCursor::decode(&text);
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!((limit(None), limit(Some(0)), limit(Some(9)), limit(Some(9_999))), (50, 1, 9, 200));
    }
}
