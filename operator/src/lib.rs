//! Keeps GameFleets and MatchQueues: renders Agones Fleets, sizes, rolls out and drains them.

pub mod core;
