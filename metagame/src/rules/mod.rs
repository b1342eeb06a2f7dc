//! A studio's own rules, asked before an act: those that are data, from the document of live operations, and those that a service
//! of the studio decides.
//!
//! Data is asked first: it is at hand, and what it refuses bothers nobody. Then all hooks of the act are asked at once, so a player
//! waits for the slowest alone, and never longer than that one's time. Nothing is written, and no transaction open, meanwhile.

pub(crate) mod admin;
mod hooks;
mod permit;

pub(crate) use hooks::Hooks;
pub use hooks::{Hook, HookAddress};
pub(crate) use permit::{facts, is_refusal, name_facts};
