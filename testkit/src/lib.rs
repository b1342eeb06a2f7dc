//! Fakes, clocks and helpers for the tests of every crate. Never a dependency of a program, only of its tests.

mod keeper;
pub mod nats;
pub mod page;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod single;
pub mod tokens;
pub mod wait;
