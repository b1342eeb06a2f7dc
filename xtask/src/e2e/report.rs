//! What came of the scenarios: for people as they run, one JSON object at the end.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::bots::Played;
use super::scenarios::Scenario;
use super::stage::Stage;
use super::witness::Witness;

/// What is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object, for scripts.
    Json,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Seed of what was random.
    pub(crate) seed: u64,
    /// Who played Agones.
    pub(crate) agones: String,
    /// Each scenario.
    pub(crate) scenarios: Vec<Outcome>,
    /// Matches that bots were in.
    pub(crate) matches: u64,
    /// Sessions of bots that ended before their match.
    pub(crate) disconnects: u64,
    /// Joins that failed.
    pub(crate) join_failures: u64,
    /// Games that ended and are missing in their player's history, or are there twice.
    pub(crate) results_missing: u64,
    /// Times that a bot was told that its match is lost, where game servers were killed on purpose.
    pub(crate) matches_lost_by_kills: u64,
    /// Allocated game servers that were ended by somebody else than themselves.
    pub(crate) allocated_terminated: u64,
    /// The same, one by one.
    pub(crate) terminations: Vec<String>,
    /// Tests of single crates on the cluster.
    pub(crate) crate_tests_passed: u64,
    /// Those that failed.
    pub(crate) crate_tests_failed: u64,
}

/// What came of a scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it went as it should.
    pub(crate) good: bool,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What was measured.
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            agones: String::new(),
            scenarios: Vec::new(),
            matches: 0,
            disconnects: 0,
            join_failures: 0,
            results_missing: 0,
            matches_lost_by_kills: 0,
            allocated_terminated: 0,
            terminations: Vec::new(),
            crate_tests_passed: 0,
            crate_tests_failed: 0,
        }
    }

    /// Runs a scenario and keeps what came of it.
    pub(crate) fn run(&mut self, scenario: &Scenario, stage: &mut Stage) {
        eprintln!("== {}: {}", scenario.name, scenario.about);
        self.agones.clone_from(&stage.agones);
        let start = Instant::now();
        let done = (scenario.run)(stage);
        let seconds = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        let mut fault = done.err().map(|error| format!("{error:#}"));
        let figures = std::mem::take(&mut stage.figures);
        for played in std::mem::take(&mut stage.played) {
            self.add(&played);
            if fault.is_none() {
                fault = played.fault();
            }
        }
        match &fault {
            None => eprintln!("   good, {seconds} s {figures:?}"),
            Some(fault) => {
                eprintln!("   FAILED after {seconds} s: {fault}");
                stage.tell_what_is_there();
            }
        }
        self.scenarios.push(Outcome { name: scenario.name, good: fault.is_none(), seconds, figures, fault });
    }

    fn add(&mut self, played: &Played) {
        self.matches += played.matches_ended;
        if played.may_lose {
            // The history says whether whoever lost a match did so for a reason.
            self.matches_lost_by_kills += played.games_lost;
        } else {
            self.disconnects += played.disconnects;
            self.join_failures += played.join_failures;
        }
        self.results_missing += played.games_missing;
    }

    /// What was seen of game servers all the while.
    pub(crate) fn conclude(&mut self, witness: &Witness) {
        self.terminations = witness.terminations();
        self.allocated_terminated = self.terminations.len() as u64;
    }

    /// Whether nothing failed and nobody was hurt.
    pub(crate) fn is_good(&self) -> bool {
        let hurt = self.disconnects + self.join_failures + self.results_missing + self.allocated_terminated;
        !self.scenarios.is_empty()
            && self.scenarios.iter().all(|scenario| scenario.good)
            && hurt == 0
            && self.crate_tests_failed == 0
    }

    /// On stdout. The last line is the counts.
    pub(crate) fn print(&self, output: Output) -> anyhow::Result<()> {
        if output == Output::Json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        for scenario in &self.scenarios {
            let mark = if scenario.good { "ok" } else { "FAILED" };
            println!("{:<12} {mark:<7} {:>6.1} s  {:?}", scenario.name, scenario.seconds, scenario.figures);
            if let Some(fault) = &scenario.fault {
                println!("             {fault}");
            }
        }
        println!(
            "{} matches, {} disconnects, {} join failures, {} results missing, {} Allocated servers ended by others (Agones: {}, seed {})",
            self.matches,
            self.disconnects,
            self.join_failures,
            self.results_missing,
            self.allocated_terminated,
            self.agones,
            self.seed
        );
        for termination in &self.terminations {
            println!("  {termination}");
        }
        let good = self.scenarios.iter().filter(|scenario| scenario.good).count() as u64;
        let bad = self.scenarios.len() as u64 - good;
        println!("total: {} passed, {} failed", good + self.crate_tests_passed, bad + self.crate_tests_failed);
        Ok(())
    }
}

/// A seed from the clock.
pub(crate) fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 % 1_000_000_007
}
