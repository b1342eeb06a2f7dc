//! What players have reached: counted with results, fetched by players.
//!
//! | file | |
//! |---|---|
//! | `record` | counts a result, within its transaction |
//! | [`claims`] | what is fetched, once each |
//! | [`unlocks`] | nodes of unlock trees, and prestige |
//! | `view` | what a player sees |
//! | `keep` | rules by version, the archive of seasons, pruning |

pub mod claims;
pub(crate) mod keep;
pub(crate) mod record;
pub mod unlocks;
pub(crate) mod view;

pub use claims::Claimed;
pub use keep::ArchivedSeason;
pub use unlocks::{Prestiged, Unlocked};
pub use view::{CountRow, Reached};
