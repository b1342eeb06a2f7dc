//! The allocator's decisions, pure: times and messages come in, answers and orders come out. No clock, socket,
//! task or randomness in here; the actor around it owns those.
//!
//! | module | owns |
//! |---|---|
//! | [`state`] | [`Core`](state::Core): everything known, and what the passing of time does to it |
//! | [`allocate`] | from an Allocate call to its one answer |
//! | [`registration`] | servers that come, come back, fall silent or are gone |
//! | [`updates`] | what servers report about their matches; giving matches back |
//! | [`pool`], [`link`], [`placement`] | servers and their rooms; whether they are heard; which one is chosen |
//! | [`mod@matches`], [`wait_queue`] | one record per match; those that wait for a room |
//! | [`events`] | the match log that others follow by cursor |
//! | [`cluster`] | what Kubernetes shows and wishes: who is gone, who must leave, which revision gets a match |
//! | [`census`] | everything as it stands, for people and metrics |
//! | [`request`], [`effect`], [`now`], [`settings`] | words that pass the border |

pub mod allocate;
pub mod audit;
pub mod census;
pub mod cluster;
pub mod effect;
pub mod events;
pub mod link;
pub mod matches;
pub mod now;
pub mod placement;
pub mod pool;
pub mod registration;
pub mod request;
pub mod settings;
pub mod state;
pub mod updates;
pub mod wait_queue;
