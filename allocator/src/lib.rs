//! Puts each match on a game server: control links, the warm pool, join tokens.
//!
//! [`core`] decides and does no IO: times come in, answers and orders come out. Around it, one actor task owns the
//! core; the gRPC services (control link, Allocator) and the [`Handle`] talk to it by bounded channels.

mod config;
pub mod core;
pub mod epoch;
mod handle;
mod http;
mod start;

pub use config::Config;
pub use handle::{Handle, HandleError};
pub use start::{Running, ServeError, StartError, serve, start};

pub use crate::core::settings::{Limits, Timing};
