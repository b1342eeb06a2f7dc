//! Reports of the game as they are kept: by day, under pseudonyms. On PostgreSQL a day is a partition of one table; beside a SQLite
//! file it is a file of its own, so that writing reports makes nobody wait and a day that is over is deleted at once.

mod files;
mod keys;
mod log;
mod server;

pub use log::{TelemetryLog, TelemetryRow, TelemetryWriter};

/// For what accounts are given pseudonyms here, and texts are sealed.
pub const PURPOSE: &str = "telemetry";
