//! The operator's decisions: from what is wished and what is there to what is written. No clock, no network.

pub mod demand;
pub mod drain;
mod floor;
pub mod forecast;
mod leaving;
pub mod queue_status;
pub mod reconcile;
pub mod render;
pub mod revision;
pub mod rollout;
pub mod scale;
pub mod schedule;
mod sizes;
mod status;
pub mod tally;
pub mod work;
