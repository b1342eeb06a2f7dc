//! The matchmaker's decisions: time and entropy come in as arguments, tickets, matches and events come out.
//!
//! | module | owns |
//! |---|---|
//! | [`queue_config`], [`queue_file`] | what a queue is; reading queues from TOML with every fault named |
//! | [`ticket`] | a ticket and its states |
//! | [`tickets`] | the store of tickets: live ones, and finished ones for a while |
//! | [`claims`] | which ticket holds a player |
//! | [`pool`] | the waiting tickets of one queue, by build and rating |
//! | [`search`], [`starving`], [`window`], [`density`], [`packing`] | finding matches in a pool |
//! | [`split`] | cutting a match into even teams that keep parties whole |
//! | [`region`] | the regions that suit everyone in a match |
//! | [`estimate`] | how long players waited lately, and will |
//! | [`events`] | the log of ticket events |
//! | [`placing`] | what to do after each answer of the allocator |
//! | [`matchmaker`], [`pass`], [`settle`] | all of it together: create and cancel; search and commit; placed, given back, failed |
//! | [`reconfigure`] | other queues while it runs |

pub mod claims;
pub mod density;
pub mod estimate;
pub mod events;
pub mod matchmaker;
pub mod packing;
pub mod pass;
pub mod placing;
pub mod pool;
pub mod queue_config;
pub mod queue_file;
pub mod reconfigure;
pub mod region;
pub mod search;
pub mod settle;
pub mod split;
pub mod starving;
pub mod ticket;
pub mod tickets;
pub mod window;
