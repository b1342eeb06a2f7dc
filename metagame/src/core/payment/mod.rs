//! Money of the world: what a payment provider says, what is due by it, and what moves.
//!
//! Events come late, twice, and in any order. So none of them is a command: each adds to the [`Facts`] of its order, in a way in which
//! order and repetition do not matter; [`Facts::due`] says what the player must have by all that is known, and [`position`] what has to
//! move from where the books are to there.
//!
//! | module | decides |
//! |---|---|
//! | [`signature`] | whether a body is the provider's |
//! | [`event`] | what it says |
//! | [`facts`] | what is known of an order, and what is due by it |
//! | [`position`] | what moves so that the books are as is due |

pub mod event;
pub mod facts;
pub mod position;
pub mod signature;

pub use event::{Event, EventFault, News, Parsed, SessionNews, Stand, parse, read, session_news};
pub use facts::{Due, Facts, OrderState, Price};
pub use position::{CurrencyPart, Gives, GoodsPart, GoodsShare, Position};
