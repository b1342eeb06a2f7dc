//! A seeded network in virtual time.
//!
//! [`Link`] carries datagrams one way between two sans-IO peers, or inside a client's socket layer; [`Network`] is a whole
//! server with its clients, jumping from event to event. The same seed gives the same run.

mod conditions;
mod link;
mod network;
mod random;

pub use conditions::Conditions;
pub use link::{Link, LinkStats};
pub use network::{Host, Network, Verify};
pub use random::Random;
