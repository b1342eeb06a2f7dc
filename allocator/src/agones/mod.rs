//! Game servers of Fleets that Muster's control link does not reach: the interface of Agones' allocator, and Muster's
//! own Allocate for GameFleets of pool `Agones`.
//!
//! The choice is made from a watch and written straight to the GameServer, for one version of it: no caller waits for a
//! batch, and a conflict costs one write. [`core`] decides and does no IO.
//!
//! | file | owns |
//! |---|---|
//! | `core/` | every decision |
//! | `engine.rs`, `write.rs` | from a request to a written GameServer |
//! | `cluster.rs`, `watch.rs` | the API server: writes, reads, what it tells by itself |
//! | `grpc.rs`, `rest.rs`, `convert.rs`, `error.rs` | Agones' two interfaces |
//! | `tls.rs`, `client_certificates.rs` | certificates of both sides, from files that may change |
//! | `backend.rs` | Muster's own Allocate |
//! | `start.rs`, `metrics.rs` | starting, stopping, counting |

mod backend;
mod client_certificates;
pub mod cluster;
mod convert;
pub mod core;
mod engine;
mod error;
#[cfg(test)]
mod fake_cluster;
mod grpc;
mod metrics;
mod rest;
mod start;
mod tls;
mod watch;
mod write;

pub use backend::{Backend, Mode};
pub use engine::{Engine, Gate, Given, Limits};
pub use error::AllocateError;
pub use start::{Config, Interfaces, Running, StartError, start};
pub use tls::{TlsError, TlsFiles};
