//! What the realtime gateway decides, without sockets or clock.
//!
//! | module | decides |
//! |---|---|
//! | [`stream`] | what of a session's messages is kept, coalesced, replayed, or given up with a resync |
//! | [`resume`] | which resume token is good |
//! | [`pulse`] | when a connection is pinged, when it is dead, and whether it sends too fast |

pub mod pulse;
pub mod resume;
pub mod stream;
