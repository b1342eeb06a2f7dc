//! What operators put on while the game runs: [`event`]s with a calendar, and [`config`] that differs by segment.
//!
//! Both are one [`document`], kept in versions. A segment is a [`condition`] over what is known of whoever asks.

pub mod condition;
pub mod config;
pub mod document;
pub mod event;
pub mod verdict;
