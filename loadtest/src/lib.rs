//! Bots that play on the whole platform, as players do, and measure what players feel.
//!
//! [`run()`] lets any number of bots log in at metagame, queue, play over UDP on the client core, and look for their
//! results, until they are told to stop; the [`Report`] says how it went. Everything is bounded: one task and one
//! socket per bot, a deadline on every wait, jittered retries that honour `Retry-After`.
//!
//! | module | owns |
//! |---|---|
//! | [`run`](mod@run) | many bots, their seeds and accounts |
//! | [`bot`], [`ticket`], [`play`] | one bot's life; waiting for a match; one session |
//! | [`brain`], [`sight`], [`route`] | how a bot plays: pure, from what it sees to its controls |
//! | [`wander`] | how a bot plays a game of which it knows the schema alone |
//! | [`api`], [`sse`] | metagame's REST API and its event streams |
//! | [`prediction`] | the arena's rules for the client core |
//! | [`metagame`](mod@metagame) | load on metagame's API alone |
//! | [`socket`], [`churn`], [`match_watch`] | bad networks, mishaps on purpose, and what to do when a server is silent |
//! | [`report`], [`history`] | counts and histograms; everything that was seen, and whether it makes sense |

pub mod api;
pub mod bot;
pub mod brain;
pub mod churn;
pub mod history;
pub mod match_watch;
pub mod metagame;
pub mod play;
pub mod prediction;
pub mod report;
pub mod resume_file;
pub mod route;
pub mod run;
pub mod sight;
pub mod socket;
pub mod sse;
pub mod ticket;
pub mod wander;

pub use report::{Report, Summary};
pub use run::{BotsConfig, Progress, run};
