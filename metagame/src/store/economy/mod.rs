//! Money: the books, what writes into them, and who checks them.
//!
//! | file | |
//! |---|---|
//! | `books` | writes an entry of the journal with its postings and wallets |
//! | `catalog` | the catalogs that entries refer to |
//! | [`grant`](mod@grant) | gives currency and goods, once per cause; for use within other parts' transactions |
//! | [`purchase`], `rewards` | what is bought, what matches give |
//! | [`orders`], [`payments`] | what is paid with money of the world, and what the provider says of it |
//! | `catch_up` | how far the provider's list of events was read; orders that do not go their way |
//! | `wallet` | what a player sees |
//! | `seals`, [`verify`] | seals over the journal, and the check of everything |

pub(crate) mod books;
pub(crate) mod catalog;
mod catch_up;
pub mod grant;
pub mod orders;
pub mod payments;
pub mod purchase;
pub(crate) mod rewards;
pub(crate) mod seals;
pub mod verify;
pub(crate) mod wallet;

pub use catch_up::{Stretch, TroubledOrders};
pub use grant::{Grant, GrantLine, Granted, grant};
pub use orders::{NewOrder, Order, Ordered};
pub use payments::Heard;
pub use purchase::{Purchase, Purchased, REGION_LIFE_MS, Receipt};
pub use verify::{BookFault, Verified};
pub use wallet::{WalletBalance, WalletEntry};
