//! The agent: a game server's part of the platform, for games in other languages.
//!
//! It stands beside one game server process, as a sidecar in its pod or as the parent of a process on one machine. It
//! holds the control link and the Agones SDK and signs and delivers results, exactly as the shell around a
//! [`game::Game`] does, because it is the same host; only that its stage is the game beside it, which
//! asks over HTTP. `docs/book/src/other-languages.md` tells the same for those who write such a game.
//!
//! | module | owns |
//! |---|---|
//! | [`config`], [`program`], [`start`](mod@start) | settings; the program; putting the parts together |
//! | `book` | the decisions, without IO: which match is how far, who was let in, what ended |
//! | `desk` | the book under a lock, between host and HTTP |
//! | [`http`] | the API, and its OpenAPI document |
//! | [`rehearsal`] | the API without sockets and platform, for hostile input |
//! | `game_process` | the game as a child, and whether it lives |

mod book;
pub mod config;
mod desk;
mod game_process;
pub mod http;
pub mod program;
pub mod rehearsal;
pub mod start;

pub use config::{AgentArgs, AgentConfig};
pub use http::openapi;
pub use program::main;
pub use rehearsal::Rehearsal;
pub use start::{AgentError, Running, start};
