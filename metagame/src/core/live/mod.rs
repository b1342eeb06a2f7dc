//! What operators put on while the game runs: [`event`]s with a calendar, [`config`] that differs by segment, and the studio's own
//! [`rule`]s.
//!
//! All of it is one [`document`], kept in versions. A segment is a [`condition`] over what is known of whoever asks.

pub mod condition;
pub mod config;
pub mod document;
pub mod event;
pub mod hook;
pub mod rule;
pub mod verdict;
