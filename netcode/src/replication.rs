//! Replication: the server's [`World`] reaches each client as snapshots, deltas against what that client acked.
//!
//! Server: a game changes its [`World`]; after each step the [`Replicator`] records it and writes one snapshot per
//! client. Client: a [`Replica`] turns snapshots back into [`View`]s with exactly the raw values of the server.
//! The book's chapter "Snapshots on the wire" describes every bit.
//!
//! | module | owns |
//! |---|---|
//! | [`entity`] | names of entities and seats |
//! | `state` | the quantized values of all entities at one moment |
//! | [`world`] | what a game changes |
//! | `plan`, `fields`, `usual`, `place_set` | how a schema's fields become bits; sets of entities |
//! | [`replicator`] | the server's side, made of: |
//! | `history` | the worlds of the last ticks, and when each place last changed |
//! | `peer`, `queue` | per client: baselines, and the order of mentions |
//! | `contents` | what is said in one tick, encoded once for all clients |
//! | `client_snapshot`, `selection` | one client's snapshot: what must be said, and what of it fits |
//! | [`snapshot`] | header and limits of a snapshot |
//! | [`replica`], [`view`] | the client's side |

mod client_snapshot;
mod contents;
pub mod entity;
mod fields;
mod history;
mod peer;
mod place_set;
mod plan;
mod queue;
pub mod replica;
pub mod replicator;
mod selection;
pub mod snapshot;
mod state;
mod usual;
pub mod view;
pub mod world;

pub use entity::{ENTITIES_MAX, EntityId, SeatId};
pub use replica::{Replica, SnapshotError, SnapshotInfo};
pub use replicator::{Mismatch, Replicator, WrittenSnapshot};
pub use snapshot::{HISTORY_TICKS, SnapshotHeader};
pub use view::View;
pub use world::{World, WorldFull};
