//! Players among each other.
//!
//! | module | decides |
//! |---|---|
//! | [`tie`] | what a request, an acceptance or a block makes of what stands between two players |
//! | [`chat`] | what may be said, and where |
//! | [`party`], [`code`] | who is in a party, what cancels its ticket, how a lobby is found |

pub mod chat;
pub mod code;
pub mod party;
pub mod tie;
