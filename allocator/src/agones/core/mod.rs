//! Who gets which game server, without IO: servers and requests come in, holds and grants go out.
//!
//! | file | owns |
//! |---|---|
//! | `server.rs` | a game server, trimmed to what allocation needs |
//! | `request.rs`, `selector.rs` | what a caller wants, and whether a server is that |
//! | `index.rs`, `choose.rs` | servers by equal labels and node, and the choice among them |
//! | `changes.rs` | what an allocation writes |
//! | `book.rs`, `fleets.rs` | every server known, who is held, who waits, which fleets are not ours |

pub mod book;
pub mod changes;
mod choose;
pub mod fleets;
mod index;
pub mod request;
pub mod selector;
pub mod server;
