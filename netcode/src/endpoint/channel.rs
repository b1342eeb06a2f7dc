//! The three channels of a session: unreliable, reliable, bulk.

pub(super) mod bulk;
pub(super) mod reliable;
pub(super) mod unreliable;
