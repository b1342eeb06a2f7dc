//! A stand-in for the platform: metagame's REST API in memory, and a real match on a real UDP port.

#![expect(clippy::unwrap_used, reason = "support of tests: a panic is the right answer")]

pub(crate) mod game_server;
pub(crate) mod metagame;
