//! Puts each match on a game server: control links, the warm pool, join tokens.
//!
//! [`core`] decides and does no IO: times come in, answers and orders come out. Around it, one actor task owns the
//! core; the gRPC services (control link, Allocator) and the [`Handle`] talk to it by one bounded channel.
//!
//! | file | owns |
//! |---|---|
//! | `core/` | every decision |
//! | `actor.rs`, `client.rs` | the task around the core, and how others talk to it |
//! | `control.rs`, `api.rs`, `follow.rs` | the two gRPC services, and the streams that others follow |
//! | `convert.rs` | messages of the wire, checked, into the core's words and back |
//! | `agones/` | servers without a control link: Agones' allocation API |
//! | `mint.rs`, `http.rs` | join tokens, certificates, the public keys |
//! | `epoch.rs` | the leader's epoch on one machine |
//! | `term.rs` | one leadership: its actor and what hangs on it |
//! | `kubernetes/` | elections, what the cluster shows, which pod may register |
//! | `start.rs`, `config.rs`, `handle.rs` | starting, stopping, and what the embedding program may ask |

mod actor;
pub mod agones;
mod api;
mod client;
mod config;
mod control;
mod convert;
pub mod core;
pub mod epoch;
mod follow;
mod handle;
mod http;
pub mod kubernetes;
mod metrics;
mod mint;
mod start;
mod term;

pub use config::Config;
pub use handle::{Handle, HandleError};
pub use start::{Running, ServeError, StartError, serve, start};

pub use crate::core::settings::{Limits, Timing};
