//! Keeps GameFleets and MatchQueues: renders Agones Fleets, sizes, rolls out and drains them.
//!
//! Each look is five steps: what is there is put together (`sight`), judged, built and planned ([`core`]), carried out
//! (`apply`), and the status is the last write of the plan. One task looks (`actor`), driven by watches of the API server and
//! by streams of allocator and matchmaker. Only the leader writes, and asks right before each write whether it still leads.
//!
//! | module | owns |
//! |---|---|
//! | [`core`] | every decision: pure |
//! | `config`, `serve` | what the program is given; start, run, end |
//! | `watches`, `streams`, `picture` | what the API server has; what the services say; what follows from it |
//! | `sight` | both, as the world of one look |
//! | `actor` | what is due, and what is remembered between two looks |
//! | `autoscale` | the answer when Agones' FleetAutoscaler asks for a size |
//! | `apply`, `tell`, `secrets` | writes: plans, events, the installation's keys |
//! | `metrics` | every metric, defined once |

mod actor;
mod apply;
mod autoscale;
mod config;
pub mod core;
mod metrics;
mod picture;
pub mod secrets;
mod serve;
mod sight;
mod streams;
mod tell;
mod watches;

pub use config::Config;
pub use serve::{LEASE, Running, ServeError, StartError, serve, start, start_wrapped};
