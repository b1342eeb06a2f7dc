//! A stand-in for Agones, for tests only: it moves Fleets, GameServers and pods through Agones' states on a real API
//! server, so that everything that stands on Agones can be tried where Agones itself cannot be had.
//!
//! It behaves as Agones 1.61 was seen to behave, its inconvenient sides included: the create webhook writes
//! `replicas: 0` and defaults, SDK writes are acknowledged 500 ms before they happen and lost with the sidecar, Reserved
//! and Allocated servers survive scaling down but not the deletion of their Fleet, a Fleet of Reserved servers shows
//! READY 0, Unhealthy and Error are final, an autoscaler goes on to the next entry of its chain when one does not answer.
//!
//! | module | owns |
//! |---|---|
//! | [`core`] | the decisions, without a client: defaults, sizes, pods, ports, next steps, the sidecar's queue |
//! | [`controller`] | the controller's program: what it installs, and when it ends |
//! | `cache`, `work` | the objects as last seen; which of them to look at next |
//! | `fleets`, `sets`, `servers`, `autoscalers` | one look at one object, and the writes that follow |
//! | `webhook`, `allocation` | defaults on create; the API of `GameServerAllocation` |
//! | `endpoint`, `tls` | HTTPS for both, with a certificate of its own |
//! | [`install`] | the account of game-server pods |
//! | [`sidecar`] | the SDK server beside each game server |
//! | [`game`] | a game server that does what a test tells it |
//!
//! Left out, because nothing of Muster touches it: counters, lists, player tracking, policies of autoscalers but `Webhook`,
//! `Buffer` and `Chain`, allocation overflow,
//! the SDK's REST gateway, pod migration, events.

mod allocation;
mod autoscalers;
mod cache;
pub mod controller;
pub mod core;
mod endpoint;
mod error;
mod fleets;
pub mod game;
pub mod install;
mod servers;
mod sets;
pub mod sidecar;
mod tls;
mod webhook;
mod work;

pub use error::StandinError;

/// The version of Agones that is played, as written into annotations.
pub const VERSION: &str = "1.61.0";

/// The stand-in's image where nobody names another.
pub const IMAGE: &str = concat!("localhost/agones-standin:", env!("CARGO_PKG_VERSION"));
