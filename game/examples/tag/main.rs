//! Plays a match of tag.
fn main() {}
