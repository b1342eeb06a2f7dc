//! The allocator's decisions, pure: the time comes in, answers and orders come out.
pub mod settings;
