//! Privacy: everything that is held about a player told ([`export`](self)), or forgotten ([`erase`](self)).

mod erase;
mod export;
pub mod held;

pub use erase::{Erased, Erasure, KeptReceipt};
pub use export::{ExportCursor, ExportedRow};
