//! What players have, and how it changes hands.
//!
//! | file | |
//! |---|---|
//! | `page` | reading an inventory |
//! | [`acts`] | consume, craft, disenchant, gift |
//! | [`trades`] | two sides in escrow, and both or neither crosses |
//! | `stock` | putting in and taking out, within the transaction of whatever moves items |

pub mod acts;
pub(crate) mod page;
pub(crate) mod stock;
pub mod trades;

pub use acts::{Act, Acted};
pub use stock::Missing;
pub use trades::{Held, Side, Trade, Traded};
