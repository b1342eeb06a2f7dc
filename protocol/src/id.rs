//! Names of things. Every id is a 128-bit UUID with a type of its own, so that a player can never be passed
//! where a match is meant. Written as a hyphenated lower-case UUID in JSON and gRPC, as 16 bytes on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a {kind} id: expected a hyphenated UUID")]
pub struct ParseIdError {
    /// What kind of id was expected.
    pub kind: &'static str,
    /// The text that was given, at most 64 bytes of it.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// An id of 16 random bytes (UUID version 4 layout).
            pub fn from_entropy(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// An id that sorts by the time it was made (UUID version 7 layout): milliseconds since the Unix
            /// epoch, then 10 random bytes.
            pub fn from_time(unix_ms: u64, entropy: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &entropy).into_uuid())
            }

            /// The id's 16 bytes, as on the wire.
            pub fn to_bytes(self) -> [u8; 16] {
                *self.0.as_bytes()
            }

            /// The id with these 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                // Only the hyphenated form: two spellings of one id would be two idempotency keys.
                let wrong = || ParseIdError { kind: $kind, text: text.chars().take(64).collect() };
                if text.len() != 36 {
                    return Err(wrong());
                }
                Uuid::try_parse(text).map(Self).map_err(|_| wrong())
            }
        }
    };
}

id!(
    /// An account identity.
    PlayerId,
    "player"
);
id!(
    /// An accepted set of players; the idempotency key from proposal to reward.
    MatchId,
    "match"
);
id!(
    /// A request to be matched, named by its creator.
    TicketId,
    "ticket"
);
id!(
    /// Players that queue together.
    PartyId,
    "party"
);
id!(
    /// One incarnation of a game-server process: a restarted process has a new one. Join tokens name it as audience.
    ServerId,
    "server"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_only_one_spelling_is_read() {
        let id = PlayerId::from_entropy([7; 16]);
        let text = id.to_string();
        assert_eq!(text.parse::<PlayerId>(), Ok(id));
        assert!(text.replace('-', "").parse::<PlayerId>().is_err());
        assert!(format!("{{{text}}}").parse::<PlayerId>().is_err());
        assert!("".parse::<PlayerId>().is_err());
    }

    #[test]
    fn ids_from_time_sort_by_time() {
        let early = MatchId::from_time(1_000, [255; 10]);
        let late = MatchId::from_time(1_001, [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
    }
}
