//! Queues from `MatchQueue` resources: watched, turned into the core's words, served while they stand.
//!
//! | module | owns |
//! |---|---|
//! | `queue` | one `MatchQueue` as a [`QueueConfig`](crate::QueueConfig), or its faults: pure |
//! | `served` | all of them together: who serves a name, what is refused and why: pure |
//! | `follow` | the watch that feeds the actor |

mod follow;
mod queue;
mod served;

pub(crate) use follow::follow;
