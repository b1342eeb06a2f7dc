//! `cargo xtask …`: the repository's checks and tests, the same on a laptop and in CI.
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod asvs;
mod bench;
mod check;
mod command;
mod crd_page;
mod deep;
mod deploy;
mod docs;
mod e2e;
mod fuzz;
mod helm;
mod image;
mod layers;
mod prerequisites;
mod run_tests;
mod schemathesis;
mod simulate;
mod telemetry;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks, tests and tools of the Muster repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Static gates: formatting, clippy, docs, dependency rules, layers, tidiness.
    Check,
    /// Every test of the workspace, then a million hostile inputs per fuzz target; says what it needs, and counts.
    Test {
        /// Passed on to the test programs (a filter, `--nocapture`, …).
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Simulated matches over bad networks in virtual time; prints the seed of any failure.
    Simulate(simulate::Options),
    /// Hostile input for everything that reads bytes from outside; prints the seed, and the file of any failure.
    Fuzz(fuzz::Options),
    /// The chart: lint, golden renders, values that must be refused; the API server's dry run where KUBECONFIG is set.
    Helm,
    /// The benches behind docs/benchmarks.md.
    Bench(bench::Options),
    /// Container images as OCI archives, without a container engine.
    Image(image::Options),
    /// Muster on a real cluster, from the chart to the last result; needs KUBECONFIG.
    E2e(e2e::Options),
    /// Write the pages of the book that come from code: metrics, GameFleet, MatchQueue.
    Docs,
    /// The metagame API against its OpenAPI document, with requests that nobody thought of; prints the seed of any failure.
    Schemathesis(schemathesis::Options),
    /// The same tests with bigger numbers: minutes to hours.
    Deep(deep::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Check => check::run(),
        Task::Test { rest } => {
            // A filter is for somebody who looks for one test. The tests come last: their counts end the output.
            if rest.is_empty() {
                fuzz::for_tests()?;
            }
            run_tests::run(&rest)
        }
        Task::Simulate(options) => simulate::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Helm => helm::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Image(options) => image::run(&options),
        Task::E2e(options) => e2e::run(&options),
        Task::Docs => docs::run(),
        Task::Schemathesis(options) => schemathesis::run(&options),
        Task::Deep(options) => deep::run(&options),
    }
}
