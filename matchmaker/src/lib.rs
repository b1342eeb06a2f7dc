//! Turns tickets into matches.
//!
//! Metagame puts players into queues with a ticket each (a party shares one); the matchmaker finds players of like
//! rating that a region suits, asks the allocator to put the match on a game server, and writes the assignment on
//! the tickets. All decisions are made in [`core`], which has no clock, socket, thread or randomness of its own: one
//! actor task (`actor`) feeds it and is the only writer of all queues.
//!
//! | module | owns |
//! |---|---|
//! | [`core`] | queues, tickets, the search for matches, the event log: pure |
//! | `config`, `serve` | what the program is given; start, run, drain |
//! | `actor` | the one task that owns the queues: commands in, search passes, placements out |
//! | `placement` | asking the allocator for a server, with retries that never give a player to two matches |
//! | `api`, `convert` | gRPC in front of the actor, and its messages in the core's words |
//! | `watch`, `queue_watch` | the streams of ticket events, and of how the queues are doing |
//! | `kubernetes` | queues from `MatchQueue` resources, as they come and go |
//! | `metrics` | every metric, defined once |
//!
//! Tickets live in memory: a restarted matchmaker is empty, and metagame submits the same ticket ids again.

mod actor;
mod api;
mod config;
mod convert;
pub mod core;
mod kubernetes;
mod metrics;
mod placement;
mod queue_watch;
mod serve;
mod watch;

pub use config::{Config, QueueSource};
pub use core::queue_config::{QueueConfig, Queues, QueuesError};
pub use serve::{Running, ServeError, StartError, serve, start};
