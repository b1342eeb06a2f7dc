//! Hostile input for everything that reads bytes from outside: the targets of the crate `fuzz`, on all cores.

use clap::Args;

use crate::command::{cargo, step};

/// Cases per target in CI.
const CASES: u64 = 1_000_000;
/// Seed of CI's cases: a change is judged by the same cases as the one before it.
const CI_SEED: u64 = 1;

/// How much to fuzz.
#[derive(Args)]
pub(crate) struct Options {
    /// Cases per target.
    #[arg(long, default_value_t = CASES)]
    cases: u64,
    /// Repeats a run; another one each time when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// One target instead of all.
    #[arg(long, default_value = "all")]
    target: String,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", "fuzz", "--package", "fuzz", "--", "run", &options.target]);
    command.args(["--cases", &options.cases.to_string()]);
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    step("hostile input", &mut command)
}

/// As many cases as CI asks for, the same each time; `cargo xtask fuzz` draws new ones.
pub(crate) fn for_tests() -> anyhow::Result<()> {
    run(&Options { cases: CASES, seed: Some(CI_SEED), target: "all".to_owned() })
}

/// As many as it takes, new ones each time.
pub(crate) fn deep(cases: u64) -> anyhow::Result<()> {
    run(&Options { cases, seed: None, target: "all".to_owned() })
}
