//! Reports of the game: taken into bounded memory by the [`intake`], written in groups by the [`writer`], waited for by nobody.
//!
//! A request hands its reports over and is answered at once, whatever the database does. What finds no room is lost and counted,
//! and whoever reports is told how much that was.

mod intake;
mod writer;

pub(crate) use intake::Intake;

use crate::core::telemetry::plan::Plan;

/// What is reported, and how much of it may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// What is expected, and how much of it is kept.
    pub plan: Plan,
    /// Memory for reports that wait to be written, in bytes.
    pub waiting_bytes_max: usize,
}

impl Default for TelemetrySettings {
    /// Some ten thousand reports: half a minute of a busy instance whose database is away.
    fn default() -> Self {
        Self { plan: Plan::default(), waiting_bytes_max: 16 * 1_024 * 1_024 }
    }
}
