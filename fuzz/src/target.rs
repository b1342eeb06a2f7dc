//! What a target is, and the list of them.

use anyhow::bail;

use crate::targets::{agent, gateway, handshake, input, message, packet, quic, resume, schema, snapshot, token};

/// One fuzzed input, with the state that it meets: a world of fixed entropy, so that the same cases do the same.
pub(crate) trait Target {
    /// Takes one case. Returns what it led to, in a number: cases that lead to something new are kept to be mutated.
    ///
    /// # Errors
    /// What does not hold although it must, in a sentence. A panic counts as well.
    fn take(&mut self, case: &[u8]) -> Result<u64, String>;

    /// What must hold when the world ends.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// A named entry of a corpus.
pub(crate) type Entry = (String, Vec<u8>);

/// A target in the list.
pub(crate) struct Listed {
    /// Its name, which is its corpus' folder too.
    pub(crate) name: &'static str,
    /// What is fuzzed, in a line.
    pub(crate) what: &'static str,
    /// Cases that one world takes before it ends and another one begins.
    pub(crate) cases_per_world: u64,
    /// Longest case in bytes.
    pub(crate) bytes_max: usize,
    /// A new world.
    pub(crate) world: fn() -> Box<dyn Target>,
    /// Real inputs, from real sessions.
    pub(crate) seeds: fn() -> Vec<Entry>,
}

/// Every target, those that take longest first: they run side by side.
pub(crate) static ALL: [Listed; 11] = [
    quic::TARGET,
    agent::TARGET,
    packet::TARGET,
    handshake::TARGET,
    resume::TARGET,
    message::TARGET,
    input::TARGET,
    token::TARGET,
    gateway::TARGET,
    snapshot::TARGET,
    schema::TARGET,
];

/// The target with this name, or all of them.
pub(crate) fn named(name: &str) -> anyhow::Result<Vec<&'static Listed>> {
    let found: Vec<_> = ALL.iter().filter(|target| name == "all" || target.name == name).collect();
    if found.is_empty() {
        let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
        bail!("no target is named {name}: there are all, {}", names.join(", "));
    }
    Ok(found)
}

/// Fails with a sentence unless `holds`.
pub(crate) fn check(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(sentence()) }
}
