//! The shell around a [`game::Game`]: threads, sockets, Agones lifecycle, control link, drain.
//!
//! A studio's whole program:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     gameserver::main::<MyGame>()
//! }
//! ```
//!
//! Who does the IO: the I/O thread owns the UDP port, the handshake worker does public-key work, each room has a tick
//! thread, and the host, a task on a small runtime, decides over everything else. `docs/book/src/game-server.md` tells
//! the same for operators.
//!
//! | module | owns |
//! |---|---|
//! | [`config`], [`program`], [`server`] | settings; the program; putting the parts together |
//! | [`io_thread`], [`socket`], [`io_rooms`] | the UDP port, its sessions, and the way to the rooms and back |
//! | [`handshake_worker`] | who may join |
//! | [`room_thread`], `room_play`, [`tick_timer`], [`match_stats`] | one match at its tick rate, and what it costs |
//! | [`inbox`], [`outbox`], [`room_link`], [`notice`] | what passes between the threads |
//! | [`rooms`], [`seats`], [`drain`], [`control::link`], [`control::updates`] | the decisions, without IO |
//! | `host`, `host_orders`, `host_matches` | the task that carries the decisions out |
//! | `stage` | who plays the matches, as the host sees it |
//! | [`control::dial`], [`lifecycle`], [`result`], [`spool`] | allocator, Agones, metagame, disk |
//! | [`watch`] | what the admin port shows of running matches: figures, and a live view |
//! | [`metrics`] | every metric |
//! | [`agent`] | the same for games in other languages: the host with a game beside it instead of rooms |

pub mod agent;
pub mod certificate;
pub mod config;
pub mod control;
pub mod drain;
pub mod handshake_worker;
mod host;
mod host_matches;
mod host_orders;
pub mod inbox;
pub mod io_rooms;
pub mod io_thread;
pub mod lifecycle;
pub mod match_stats;
pub mod metrics;
pub mod notice;
pub mod outbox;
pub mod program;
pub mod result;
pub mod room_link;
mod room_play;
pub mod room_thread;
pub mod rooms;
pub mod seats;
pub mod server;
pub mod socket;
pub mod spool;
mod stage;
pub mod tick_timer;
pub mod watch;

pub use config::{Args, Config, ConfigFaults, Credential};
pub use program::{Options, main, main_from, run};
pub use server::{RunError, Running, start};
