//! The pure core of the network code: endpoints, sessions, channels, replication, and an emulated network.
//!
//! Nothing here opens a socket, reads a clock, starts a thread or asks the operating system for randomness. Time
//! ([`Micros`]), entropy ([`Entropy`]) and bytes come as arguments, so a whole server with its clients runs in
//! virtual time inside one test. The sockets belong to `gameserver` and `client`.
//!
//! | module | owns |
//! |---|---|
//! | [`endpoint`] | handshake, keys, connection ids, paths, sessions, acks, the three channels |
//! | [`emulator`] | a seeded network between sans-IO peers: latency, jitter, loss, reorder, duplication, MTU, rate |
//! | [`bits`], [`replication`] | the bit codec driven by the schema, baselines, snapshots |

pub mod bits;
pub mod emulator;
pub mod endpoint;
mod entropy;
pub mod replication;
mod time;

pub use entropy::Entropy;
pub use time::Micros;
