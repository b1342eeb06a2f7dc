//! The stand-in's decisions, without a client: objects as they were seen go in, what to write comes out.

pub mod allocation;
pub mod autoscaler;
pub mod defaults;
pub mod fleet;
pub mod message;
pub mod object;
pub mod pod;
pub mod ports;
pub mod sdk;
pub mod server;
pub mod set;
