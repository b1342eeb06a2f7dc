//! What a demo comes to: the numbers, their JSON, a summary for people, and whether it was a success.

use std::fmt::Write as _;

use loadtest::history::Tally;
use serde::Serialize;

/// A demo in numbers. The field names are the JSON's and stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) players: u64,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    /// Matches that became joinable.
    pub(crate) matches_started: u64,
    /// Matches that ended by the game's rules.
    pub(crate) matches_completed: u64,
    /// Matches whose server was lost.
    pub(crate) matches_lost: u64,
    /// Players who played over native UDP.
    pub(crate) udp_clients: u64,
    /// Players who played over QUIC.
    pub(crate) quic_clients: u64,
    /// Assigned players who did not get into their match.
    pub(crate) join_failures: u64,
    /// Sessions that ended before their match did.
    pub(crate) disconnects: u64,
    /// Sessions that took over a seat.
    pub(crate) reconnects: u64,
    /// Of these, by a resume ticket.
    pub(crate) resumes: u64,
    /// From a cut of the way to a seat to having it again, with the state of the match.
    pub(crate) reconnect_ms_p99: f64,
    /// Ticket to assignment.
    pub(crate) time_to_match_ms_p95: f64,
    /// Allocate to Joinable.
    pub(crate) allocation_ms_p99: f64,
    pub(crate) tick_ms_p99: f64,
    pub(crate) tick_overruns: u64,
    pub(crate) snapshot_bytes_per_client_s: f64,
    pub(crate) rtt_ms_p50: f64,
    pub(crate) rtt_ms_p99: f64,
    /// Results that metagame booked.
    pub(crate) results_recorded: u64,
    /// Most game-server processes at once.
    pub(crate) server_processes: u64,
    /// Times that a player found the match just played in the own history.
    pub(crate) games_in_history: u64,
    /// How soon what chaos broke was mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chaos: Option<Tally>,
}

impl Report {
    /// After chaos the history knows best what became of the matches: of those that went down with the platform, no allocator
    /// tells the end.
    pub(crate) fn in_chaos(&mut self, tally: Tally) {
        (self.matches_started, self.matches_completed, self.matches_lost) =
            (tally.started, tally.completed, tally.lost);
        self.chaos = Some(tally);
    }

    /// What was not as it must be, in sentences; empty after a success.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let open = self.matches_started.saturating_sub(self.matches_completed + self.matches_lost);
        if self.matches_started == 0 {
            faults.push("no match started".to_owned());
        }
        if open > 0 {
            faults.push(format!("{open} matches started and never ended"));
        }
        if self.results_recorded != self.matches_completed {
            faults.push(format!(
                "{} matches ended, {} results are recorded",
                self.matches_completed, self.results_recorded
            ));
        }
        faults
    }

    /// The summary for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "  {name:<22}{value}").expect("writing to a string succeeds");
        };
        line("players", format!("{} ({} s, seed {})", self.players, self.seconds, self.seed));
        line(
            "matches",
            format!(
                "{} started, {} completed, {} lost",
                self.matches_started, self.matches_completed, self.matches_lost
            ),
        );
        line("results recorded", self.results_recorded.to_string());
        line("server processes", self.server_processes.to_string());
        line(
            "players over",
            format!(
                "{} UDP, {} QUIC; {} join failures, {} disconnects, {} reconnects ({} by resume ticket)",
                self.udp_clients,
                self.quic_clients,
                self.join_failures,
                self.disconnects,
                self.reconnects,
                self.resumes
            ),
        );
        line("time to match", format!("p95 {:.0} ms (players wait for players)", self.time_to_match_ms_p95));
        line("allocation", format!("p99 {:.1} ms", self.allocation_ms_p99));
        line("tick", format!("p99 {:.2} ms, {} overruns", self.tick_ms_p99, self.tick_overruns));
        line("snapshots", format!("{:.0} bytes per client and second", self.snapshot_bytes_per_client_s));
        line("round trip", format!("p50 {:.1} ms, p99 {:.1} ms", self.rtt_ms_p50, self.rtt_ms_p99));
        if self.reconnects > 0 {
            line("reconnects", format!("p99 {:.0} ms until the seat and its state are back", self.reconnect_ms_p99));
        }
        line("seen in history", format!("{} games", self.games_in_history));
        if let Some(chaos) = &self.chaos {
            let ms = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            let (told, after_outage) = (ms(chaos.told_ms_max), ms(chaos.told_after_outage_ms_max));
            line("told of a loss", format!("within {told}, within {after_outage} of an outage's end"));
            line("fleet whole again", format!("within {}", ms(chaos.fleet_whole_ms_max)));
            line("platform back", format!("within {} of its kill", ms(chaos.platform_back_ms_max)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_means_that_every_match_ended_and_is_booked_once() {
        let good = Report {
            matches_started: 3,
            matches_completed: 2,
            matches_lost: 1,
            results_recorded: 2,
            ..Report::default()
        };
        assert_eq!(good.faults(), Vec::<String>::new());
        assert_eq!(Report { matches_completed: 1, results_recorded: 1, ..good.clone() }.faults().len(), 1);
        assert_eq!(Report { results_recorded: 1, ..good.clone() }.faults().len(), 1);
        assert_eq!(Report { results_recorded: 3, ..good }.faults().len(), 1);
        assert_eq!(Report::default().faults().len(), 1);
    }

    #[test]
    fn the_json_has_every_promised_name() {
        let json = serde_json::to_value(Report::default()).expect("plain data");
        for name in [
            "players",
            "matches_started",
            "matches_completed",
            "matches_lost",
            "udp_clients",
            "quic_clients",
            "join_failures",
            "disconnects",
            "reconnects",
            "resumes",
            "reconnect_ms_p99",
            "time_to_match_ms_p95",
            "allocation_ms_p99",
            "tick_ms_p99",
            "tick_overruns",
            "snapshot_bytes_per_client_s",
            "rtt_ms_p50",
            "rtt_ms_p99",
            "results_recorded",
            "server_processes",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
    }
}
