//! The control link: the one stream to the allocator over which matches come and news of them goes.
//!
//! | module | owns |
//! |---|---|
//! | [`updates`] | match updates, numbered and repeated until acknowledged |
//! | [`link`] | the protocol as a pure state machine: registration, pings, orders, silence, loneliness |
//! | [`dial`] | the real stream: dials, carries messages, dials again |

pub mod dial;
pub mod link;
pub mod updates;

use protocol::pb;
use protocol::pb::{allocator_message, server_message};

/// A message to the allocator.
pub fn to_allocator(message: server_message::Message) -> pb::ServerMessage {
    pb::ServerMessage { message: Some(message) }
}

/// A message from the allocator, for its stand-ins in tests.
pub fn to_server(message: allocator_message::Message) -> pb::AllocatorMessage {
    pb::AllocatorMessage { message: Some(message) }
}
