//! What players have, and how it changes hands.
//!
//! | file | |
//! |---|---|
//! | [`page`] | reading an inventory |
//! | [`acts`] | consume, craft, disenchant, gift |
//! | [`stock`] | putting in and taking out, within the transaction of whatever moves items |

pub mod acts;
pub(crate) mod page;
pub(crate) mod stock;

pub use acts::{Act, Acted};
pub use stock::Missing;
