//! The operator's decisions: from what is wished and what is there to what is written. No clock, no network.

pub mod forecast;
pub mod reconcile;
pub mod render;
pub mod revision;
pub mod rollout;
pub mod scale;
pub mod schedule;
mod sizes;
mod status;
