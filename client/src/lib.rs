//! The client core: everything between a game client's socket and its pictures.
//!
//! A [`Client`] is polled and does no IO: the host brings the socket, the time and the memory, and is never called
//! back. Bots pump it from tokio, an engine plugin from its frame loop, tests from virtual time.
//!
//! | module | owns |
//! |---|---|
//! | [`client`], [`event`], [`stats`] | the [`Client`], what it tells and measures |
//! | `play` | what begins with the room's welcome, put together from the following |
//! | `clock`, `lead`, `delay` | three moments: now on the server, when inputs are for, what is shown |
//! | `inputs` | inputs until the server has used them |
//! | [`prediction`] | the own player, ahead of the server |
//! | [`frame`] | the others, between snapshots, as columns |
//! | `slew`, `window` | smooth following, percentiles |

pub mod client;
mod clock;
mod delay;
pub mod event;
pub mod frame;
mod inputs;
mod lead;
mod play;
pub mod prediction;
mod slew;
pub mod stats;
mod window;

pub use client::{Client, ClientConfig};
pub use event::{Ending, Event, Welcome};
pub use frame::{Frame, Row, Table};
pub use netcode::endpoint::{Credential, Resumption};
pub use prediction::{NoPrediction, Predict};
pub use stats::{ClientStats, Counts};
