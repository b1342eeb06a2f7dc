//! Queues of the platform on one machine: the user's file, or the one that comes with the program.

use std::path::Path;

use matchmaker::Queues;

use crate::exit::Failure;

/// The queues that come with the program.
const BUILT_IN: &str = include_str!("../../queues.toml");

/// The queues of a file, or those that come with the program.
pub(crate) fn queues(file: Option<&Path>) -> Result<Queues, Failure> {
    match file {
        Some(path) => Queues::read(path).map_err(Failure::setup),
        None => Queues::parse("built-in queues", BUILT_IN).map_err(Failure::setup),
    }
}

/// The built-in queues with matches of this length.
pub(crate) fn demo_queues(match_seconds: u32) -> Result<Queues, Failure> {
    let text = BUILT_IN.replace("seconds = 20", &format!("seconds = {match_seconds}"));
    Queues::parse("built-in queues", &text).map_err(Failure::setup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_queues_are_sound_and_the_length_of_a_match_can_be_set() {
        queues(None).expect("sound");
        let text = format!("{:?}", demo_queues(7).expect("sound"));
        assert!(text.contains("\\\"seconds\\\":7"), "{text}");
    }
}
