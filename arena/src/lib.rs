//! Muster's reference game: a small deterministic top-down shooter for 2 to 16 players, in teams or everyone alone.
//!
//! It is written against [`game::Game`] like any studio's game and does no IO. Equal setups and inputs give equal
//! matches on every machine: arithmetic is plain `f32`, sines are its own, random numbers come from the match's seed.
//! Clients share [`movement`] to predict their own player.
//!
//! | module | owns |
//! |---|---|
//! | [`arena`] | [`Arena`], the [`game::Game`]: setup, outcome |
//! | [`simulation`] | one tick, in its order |
//! | [`settings`], [`rules`] | what a match can be told; phases, ending, places |
//! | [`fighter`], [`movement`], [`weapons`], [`pickups`] | one player; how it moves, shoots, picks up |
//! | [`map`], [`map_generation`] | the walled square and how a seed makes it |
//! | [`schema`], [`input`], `replicate`, [`event`], [`welcome`], [`prediction`] | what passes between server and clients |
//! | [`rate`], [`random`], [`trig`] | durations in ticks, random numbers, sines that are the same everywhere |

pub mod arena;
pub mod event;
pub mod fighter;
pub mod input;
pub mod map;
pub mod map_generation;
mod map_view;
pub mod movement;
pub mod pickups;
pub mod prediction;
pub mod random;
pub mod rate;
mod replicate;
pub mod rules;
pub mod schema;
pub mod settings;
pub mod simulation;
pub mod trig;
pub mod weapons;
pub mod welcome;

pub use arena::Arena;
