//! Who leads, by a Kubernetes Lease.
//!
//! Kubernetes has no fencing: a Lease says who wrote last, not who still runs. So three things are kept apart here.
//! A holder stops leading by its own clock at two thirds of the lease's duration after its last renewal *began*, whether
//! the API server answers or not. Everyone else waits until the Lease has stood unchanged for its whole duration by their
//! own clock; the times written in it are for people and are never compared. And every write names the resourceVersion
//! that it was decided on, so of two candidates one loses. The count of transitions in the write that took the Lease is
//! the leader's *epoch*: whoever obeys orders refuses a lower one than it has seen.

mod campaign;
mod core;
mod metrics;

pub use self::core::{Election, Epoch, Instant, Record, Step, Timing};
pub use campaign::{Candidacy, Leadership, campaign};
