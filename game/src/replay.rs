//! The input log of a match, and the match run again from it.

use netcode::replication::SeatId;
use protocol::schema::Schema;

use crate::input::RawInput;
use crate::rules::Leave;
use crate::setup::MatchSetup;

/// Everything that a match depended on.
#[derive(Debug)]
pub struct InputLog {}

impl InputLog {
    pub(crate) fn new(_setup: &MatchSetup, _schema: &Schema, _entities_max: u16) -> Self {
        Self {}
    }
    pub(crate) fn joined(&mut self, _seat: SeatId) {}
    pub(crate) fn left(&mut self, _seat: SeatId, _why: Leave) {}
    pub(crate) fn message(&mut self, _seat: SeatId, _bytes: &[u8]) {}
    pub(crate) fn input(&mut self, _seat: SeatId, _raw: &RawInput) {}
    pub(crate) fn stepped(&mut self, _hash: u64) {}
}
