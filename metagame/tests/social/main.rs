//! Players among each other: the use cases on both databases, and the API as clients see it.

mod chat;
#[path = "../api/fakes.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod fakes;
mod friends;
mod gateway;
mod gateway_client;
mod gateway_tcp;
mod gateways;
#[path = "../api/harness.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod harness;
mod parties;
mod players;
#[path = "../stores/mod.rs"]
mod stores;
