//! What came of the kills, in numbers.

use loadtest::history::Tally;
use serde::Serialize;

/// What came of the kills.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) kills: u64,
    pub(super) killed_allocators: u64,
    pub(super) killed_servers: u64,
    /// How long the killing took.
    pub(super) seconds: f64,
    /// Matches that the allocator called joinable.
    pub(super) matches_started: u64,
    /// Those that ended, or whose result arrived all the same.
    pub(super) matches_completed: u64,
    /// The others: each on a server that was killed.
    pub(super) matches_lost: u64,
    /// Rooms that game servers opened, by their own word.
    pub(super) rooms: u64,
    pub(super) results_recorded: u64,
    /// Times that a bot played a match to its end.
    pub(super) games_ended: u64,
    /// Longest that a player of a lost match waited to be told.
    pub(super) told_ms_max: Option<u64>,
    /// The same where the allocator was away too: from its return on.
    pub(super) told_after_outage_ms_max: Option<u64>,
    /// From the last player's leave until no server was held.
    pub(super) orphans_gone_ms: Option<u64>,
    pub(super) history_entries: u64,
    /// What must not be: see the remarks.
    pub(super) faults: u64,
}

impl Report {
    /// What the history says.
    pub(super) fn of(tally: Tally) -> Self {
        Self {
            matches_started: tally.started,
            matches_completed: tally.completed,
            matches_lost: tally.lost,
            told_ms_max: tally.told_ms_max,
            told_after_outage_ms_max: tally.told_after_outage_ms_max,
            ..Self::default()
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let rate = self.kills as f64 / self.seconds.max(0.001);
        let ms = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        format!(
            "{} kills (seed {}): {} of the allocator, {} of game servers, in {:.0} s ({rate:.1} per second)\n  \
             matches        {} started in {} rooms, {} completed, {} lost with their servers\n  \
             results        {} recorded\n  told           {} at most, {} after an outage\n  \
             orphans        gone after {}\n  history        {} entries, {} faults",
            self.kills,
            self.seed,
            self.killed_allocators,
            self.killed_servers,
            self.seconds,
            self.matches_started,
            self.rooms,
            self.matches_completed,
            self.matches_lost,
            self.results_recorded,
            ms(self.told_ms_max),
            ms(self.told_after_outage_ms_max),
            ms(self.orphans_gone_ms),
            self.history_entries,
            self.faults,
        )
    }
}
