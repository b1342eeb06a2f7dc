//! Whole endpoints against each other, in virtual time.
#![allow(clippy::unwrap_used)]

mod channels;
mod closing;
mod handshake;
mod hostile;
mod paths;
mod quic;
mod quic_amplification;
mod quic_bulk;
mod quic_hostile;
mod refusals;
mod resume;
mod stranger;
mod world;
