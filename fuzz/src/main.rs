//! Fuzzing of everything that reads bytes from outside, without a tool to install: seeded, so that a number repeats a
//! run, and structure-aware, so that what lies behind encryption and signatures is reached.
//!
//! | module | owns |
//! |---|---|
//! | [`target`] | what a target is, and the list of them |
//! | `targets/*` | one input each: what it is fed to and what must hold afterwards |
//! | [`mutate`] | from corpus entries to hostile ones |
//! | [`driver`] | episodes of cases, catching what fails, writing it down and making it small |
//! | [`corpus`], [`failure`] | the files |
//! | [`peer`] | the other end of a session, which may say whatever it likes under real keys |
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod corpus;
mod driver;
mod failure;
mod mutate;
mod peer;
mod target;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Feeds hostile input to Muster's decoders and state machines.
#[derive(Parser)]
#[command(bin_name = "cargo run -p fuzz --")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs cases; the first that fails is made small and written to a file.
    Run {
        /// A target's name, or "all".
        target: String,
        /// Cases per target.
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
        /// Repeats a run; chosen by the clock when it is not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Targets that run at once; all cores when it is not given.
        #[arg(long)]
        threads: Option<usize>,
    },
    /// Runs a file again: one that `run` wrote, or an entry of the corpus.
    Replay {
        /// The file.
        file: PathBuf,
    },
    /// Writes the corpus anew, from real sessions and real matches.
    Seed,
    /// Names the targets.
    List,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Run { target, cases, seed, threads } => {
            let targets = target::named(&target)?;
            let seed = seed.unwrap_or_else(seed_of_the_clock);
            let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            driver::run(&targets, cases, seed, threads)
        }
        Task::Replay { file } => driver::replay(&file),
        Task::Seed => corpus::write_all(),
        Task::List => {
            target::ALL.iter().for_each(|target| println!("{:10} {}", target.name, target.what));
            Ok(())
        }
    }
}

fn seed_of_the_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_nanos() as u64 % 1_000_000_000)
}
