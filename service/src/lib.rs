//! What every Muster program has: settings, logs, an admin port, keys and service tokens, graceful shutdown.
//!
//! Programs are libraries with `serve(config, shutdown)`; this crate holds what they would otherwise each write
//! again. It decides nothing about games, matches or players.

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod grpc;
mod heap;
pub mod key;
pub mod leader;
mod listener;
pub mod logs;
pub mod random;
pub mod settings;
mod shutdown;
pub mod token;
pub mod verify;

pub use heap::Heap;
pub use listener::{BindError, Listener};
pub use shutdown::Shutdown;
