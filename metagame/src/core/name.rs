//! Names that players show each other. They need not be unique: the player id is the identity.

use std::fmt;
use std::str::FromStr;

use protocol::id::PlayerId;

/// Longest name in bytes of UTF-8; the roster on the wire holds no more.
pub const NAME_BYTES_MAX: usize = 32;

/// A name that keeps the rules: 1 to [`NAME_BYTES_MAX`] bytes, at least one letter or digit, single spaces inside,
/// nothing invisible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerName(String);

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No letter and no digit.
    #[error("a name needs at least one letter or digit")]
    Empty,
    /// Too many bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes of UTF-8")]
    Long,
    /// Invisible, or able to disturb the text around it.
    #[error("a name may not hold the character U+{0:04X}")]
    Forbidden(u32),
    /// Two spaces in a row.
    #[error("a name may not hold two spaces in a row")]
    Spaces,
}

impl PlayerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a player that gave none.
    pub fn default_for(player: PlayerId) -> Self {
        let id = player.to_bytes();
        // The last bytes are random in every layout of UUID that Muster makes.
        Self(format!("Player-{}", hex::encode_upper(&id[13..])))
    }
}

impl fmt::Display for PlayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlayerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim_matches(' ');
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::Long);
        }
        if let Some(bad) = text.chars().find(|c| is_forbidden(*c)) {
            return Err(NameError::Forbidden(bad.into()));
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(NameError::Empty);
        }
        if text.contains("  ") {
            return Err(NameError::Spaces);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Control characters, spaces other than U+0020, and what renders as nothing or turns the direction of the text.
fn is_forbidden(c: char) -> bool {
    let invisible = matches!(u32::from(c),
        0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xE000..=0xF8FF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
        | 0xFFF0..=0xFFFF | 0xE0000..=0x10FFFF);
    c.is_control() || (c.is_whitespace() && c != ' ') || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, NameError> {
        text.parse::<PlayerName>().map(|name| name.0)
    }

    #[test]
    fn ordinary_names_of_any_script_pass() {
        for name in ["Ada", "Жанна", "李小龙", "R2-D2", "x_X 99 X_x", "Zoë"] {
            assert_eq!(check(name).as_deref(), Ok(name));
        }
        assert_eq!(check("  Ada "), Ok("Ada".into()));
    }

    #[test]
    fn names_that_deceive_or_disturb_are_refused() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(" - "), Err(NameError::Empty));
        assert_eq!(check(&"a".repeat(33)), Err(NameError::Long));
        assert_eq!(check(&"李".repeat(11)), Err(NameError::Long));
        assert_eq!(check("a  b"), Err(NameError::Spaces));
        assert_eq!(check("a\nb"), Err(NameError::Forbidden(0x0A)));
        assert_eq!(check("a\u{202E}b"), Err(NameError::Forbidden(0x202E)));
        assert_eq!(check("a\u{200B}b"), Err(NameError::Forbidden(0x200B)));
        assert_eq!(check("a\u{A0}b"), Err(NameError::Forbidden(0xA0)));
    }

    #[test]
    fn the_name_of_a_nameless_player_keeps_the_rules() {
        let name = PlayerName::default_for(PlayerId::from_entropy([7; 16]));
        assert_eq!(check(name.as_str()), Ok("Player-070707".into()));
    }
}
