//! What a queue is: teams, fleet, and the rules that its matches keep.

use std::path::{Path, PathBuf};

use super::queue_file;

/// Most queues that one matchmaker serves.
pub const QUEUES_MAX: usize = 64;
/// Most players in one match.
pub const PLAYERS_MAX: u32 = 128;
/// Most regions of one queue: a ticket's acceptable regions are bits of a `u32`.
pub const REGIONS_MAX: usize = 32;
/// Longest name of a queue, fleet, region or build in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest settings of a queue as JSON, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 16 * 1024;

/// One queue: who plays with whom, where, and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueConfig {
    /// Its name: lower-case letters, digits, `-`, `_`, `.`; at most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Teams per match, 1 or more. A free-for-all has as many teams as players.
    pub teams: u32,
    /// Players per team, 1 or more. Every team is full when a match starts.
    pub players_per_team: u32,
    /// Fleet that hosts the matches.
    pub fleet: String,
    /// Build that tickets must name; empty: any, but players of different builds never meet.
    pub build: String,
    /// Regions where matches may run; empty: the allocator chooses and round-trip times do not count.
    pub regions: Vec<String>,
    /// JSON object that the game gets with each match.
    pub settings_json: String,
    /// How near ratings must be; `None`: everyone may meet, first come, first served.
    pub rating: Option<RatingRule>,
    /// How far a region may be.
    pub rtt: RttRule,
    /// Longest time that a ticket waits, in seconds, before it ends as timed out.
    pub ticket_timeout_s: u32,
    /// Most players in one ticket; at most `players_per_team`.
    pub party_size_max: u32,
    /// Most live tickets: waiting and being placed.
    pub capacity: u32,
    /// From this wait on, in seconds, a ticket is starving: it picks its match first, and the rating windows of the
    /// others no longer keep them from it.
    pub starving_after_s: u32,
    /// Where it is written.
    pub source: Source,
}

/// Where a queue is written. By default: in a queue file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The `MatchQueue` as `namespace/name`; empty: a queue file.
    pub resource: String,
    /// Generation of the `MatchQueue`; 0 for a queue file.
    pub generation: i64,
}

impl Source {
    /// Namespace of the `MatchQueue`, which is that of its fleet too; empty for a queue file.
    pub fn namespace(&self) -> &str {
        self.resource.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

/// How near the ratings of a match must be. A ticket's window is how far any other ticket of its match may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatingRule {
    /// Window of a fresh ticket, in rating points.
    pub window_start: f64,
    /// What a second of waiting adds to the window.
    pub window_growth_per_s: f64,
    /// Widest window ever.
    pub window_max: f64,
    /// Where players are rare: if at the present rate of arrivals a match within the window would take longer than
    /// this many seconds, the window is at once as wide as needed (never above `window_max`). 0: off.
    pub pre_expand_wait_s: f64,
}

/// How far a region may be from each player of a match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RttRule {
    /// Longest round-trip time of a fresh ticket, in milliseconds.
    pub max_ms: u32,
    /// What a second of waiting adds, in milliseconds.
    pub growth_ms_per_s: f64,
    /// Longest round-trip time ever accepted, in milliseconds.
    pub ceiling_ms: u32,
}

impl QueueConfig {
    /// Players in a match.
    pub fn players(&self) -> u32 {
        self.teams * self.players_per_team
    }

    /// Longest wait in milliseconds.
    pub fn ticket_timeout_ms(&self) -> u64 {
        u64::from(self.ticket_timeout_s) * 1_000
    }
}

impl RatingRule {
    /// Window of a ticket that has waited so long, in rating points.
    pub fn window(&self, waited_ms: u64) -> f64 {
        (self.window_start + self.window_growth_per_s * waited_ms as f64 / 1_000.0).min(self.window_max)
    }
}

impl RttRule {
    /// Longest acceptable round-trip time of a ticket that has waited so long, in milliseconds.
    pub fn limit_ms(&self, waited_ms: u64) -> u32 {
        let limit = f64::from(self.max_ms) + self.growth_ms_per_s * waited_ms as f64 / 1_000.0;
        (limit as u32).min(self.ceiling_ms)
    }
}

/// Queues that were checked: names differ, and every number makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Queues(Vec<QueueConfig>);

/// A queue file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueuesError {
    /// It cannot be read.
    #[error("cannot read the queue file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It has faults; all are named.
    #[error("the queue file {name} has faults:\n{}", lines(faults))]
    Faults {
        /// The file, or what the text was called.
        name: String,
        /// Every fault, by line.
        faults: Vec<Fault>,
    },
}

/// One fault of a queue file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, where, and what to do.
    pub text: String,
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("  line {}: {}", fault.line, fault.text)).collect();
    lines.join("\n")
}

/// A `MatchQueue` that is not served as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFault {
    /// The resource, and the generation of it that was looked at.
    pub source: Source,
    /// Name that tickets would give.
    pub queue: String,
    /// Why, as one word for programs.
    pub reason: &'static str,
    /// Why, as a sentence for people, with what to do.
    pub message: String,
}

impl Queues {
    /// Queues that were checked already, each name once.
    pub(crate) fn of(queues: Vec<QueueConfig>) -> Self {
        Self(queues)
    }

    /// Reads a queue file.
    ///
    /// # Errors
    /// [`QueuesError`], with every fault of the file.
    pub fn read(path: &Path) -> Result<Self, QueuesError> {
        let text = std::fs::read_to_string(path).map_err(|error| QueuesError::Read { path: path.into(), error })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads queues from TOML; `name` is what errors call the text.
    ///
    /// # Errors
    /// [`QueuesError::Faults`], with every fault of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, QueuesError> {
        queue_file::parse(text).map(Self).map_err(|faults| QueuesError::Faults { name: name.to_owned(), faults })
    }

    /// The queues, in the file's order.
    pub fn as_slice(&self) -> &[QueueConfig] {
        &self.0
    }
}

/// Whether a text can name a queue, fleet or region.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed)
}

/// Whether a text can name a build, which may hold a '+' (1.4.0+0123456).
pub(crate) fn is_build(text: &str) -> bool {
    is_name(&text.replace('+', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_limits_grow_with_waiting_up_to_their_ends() {
        let rule = RatingRule { window_start: 2.0, window_growth_per_s: 0.5, window_max: 10.0, pre_expand_wait_s: 0.0 };
        assert_eq!([0, 4_000, 16_000, 3_600_000].map(|ms| rule.window(ms)), [2.0, 4.0, 10.0, 10.0]);
        let rtt = RttRule { max_ms: 80, growth_ms_per_s: 2.5, ceiling_ms: 120 };
        assert_eq!([0, 4_000, 60_000, u64::MAX].map(|ms| rtt.limit_ms(ms)), [80, 90, 120, 120]);
    }
}
