//! What players keep and what they have reached, on both databases: values, progress, achievements, loadouts.

mod hands;
mod kv;
mod loadouts;
mod progression;
#[path = "../stores/results.rs"]
mod results;
#[path = "../stores/mod.rs"]
mod stores;
