//! What happens in a match, for the kill feed: reliable messages to all players.

use game::SeatId;

use crate::map::Supply;
use crate::rules::Phase;
use crate::weapons::Weapon;

/// Something that players are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A player died.
    Killed {
        /// Who died.
        victim: SeatId,
        /// By whom; the victim itself when it stood in its own rocket's burst.
        killer: SeatId,
        /// By which weapon.
        weapon: Weapon,
    },
    /// A player took a supply.
    Taken {
        /// Who.
        seat: SeatId,
        /// What.
        supply: Supply,
    },
    /// A phase of the match begins.
    Phase(Phase),
}

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an arena event: unknown number or wrong length")]
pub struct EventError;

impl Event {
    /// The event's bytes: its number (0 killed, 1 taken, 2 phase), then one byte per part in the order above.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Killed { victim, killer, weapon } => vec![0, victim.0, killer.0, weapon as u8],
            Self::Taken { seat, supply } => vec![1, seat.0, supply as u8],
            Self::Phase(phase) => vec![2, phase as u8],
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`EventError`] for anything but the exact bytes of an event. Never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EventError> {
        let event = match *bytes {
            [0, victim, killer, weapon] => Weapon::from_code(weapon).map(|weapon| Self::Killed {
                victim: SeatId(victim),
                killer: SeatId(killer),
                weapon,
            }),
            [1, seat, supply] => Supply::from_code(supply).map(|supply| Self::Taken { seat: SeatId(seat), supply }),
            [2, phase] => Phase::from_code(phase).map(Self::Phase),
            _ => None,
        };
        event.ok_or(EventError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_survive_the_wire() {
        let events = [
            Event::Killed { victim: SeatId(3), killer: SeatId(1), weapon: Weapon::Rocket },
            Event::Taken { seat: SeatId(15), supply: Supply::Rockets },
            Event::Phase(Phase::Play),
        ];
        for event in events {
            assert_eq!(Event::from_bytes(&event.to_bytes()), Ok(event));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..6)) {
            if let Ok(event) = Event::from_bytes(&bytes) {
                prop_assert_eq!(event.to_bytes(), bytes);
            }
        }
    }
}
