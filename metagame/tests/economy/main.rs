//! Money and goods, on both databases: what happens once, what adds up, and what shows that somebody has changed it.

mod books;
mod hands;
mod keys;
mod payments;
mod races;
mod shop;
#[path = "../stores/mod.rs"]
mod stores;
mod trades;
