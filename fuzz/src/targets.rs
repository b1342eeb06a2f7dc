//! The targets, one file per input.

pub(crate) mod agent;
pub(crate) mod gateway;
pub(crate) mod handshake;
pub(crate) mod input;
pub(crate) mod message;
pub(crate) mod packet;
pub(crate) mod quic;
pub(crate) mod resume;
pub(crate) mod schema;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod token;
