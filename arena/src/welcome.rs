//! What a client gets once when it joins: all that its prediction needs beside the snapshots.

use crate::map::{Map, MapError};
use crate::rate::Rate;

/// The match's tick rate and map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Ticks per second.
    pub rate: Rate,
    /// The map.
    pub map: Map,
}

impl Welcome {
    /// The bytes: tick rate `u8`, then [`Map::to_bytes`].
    pub fn to_bytes(rate: Rate, map: &Map) -> Vec<u8> {
        let mut bytes = vec![rate.hz() as u8];
        bytes.extend(map.to_bytes());
        bytes
    }

    /// Reads a welcome.
    ///
    /// # Errors
    /// [`MapError`] for anything but the exact bytes of a welcome. Never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapError> {
        let (&hz, map) = bytes.split_first().ok_or(MapError)?;
        Ok(Self { rate: Rate::new(u32::from(hz)).ok_or(MapError)?, map: Map::from_bytes(map)? })
    }
}
