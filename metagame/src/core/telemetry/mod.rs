//! What is taken as a report of the game, and what of it may be read by whom.
//!
//! A report has a [`report`] form that everybody keeps; a studio's [`plan`] says which reports there are and what their fields
//! hold. What could name somebody is not kept in the open: a text is sealed under the key of the player whom the report is
//! about, unless the plan lists it or vouches for it, and a player is named by a pseudonym. Reports are kept by [`day`].

pub mod day;
pub mod plan;
pub mod report;
