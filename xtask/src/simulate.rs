//! Simulated matches: the real endpoint, room and client over an emulated network, in virtual time.

use clap::Args;

use crate::command::{cargo, step};

/// How much to simulate.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed; a failure names the seed to give here.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Simulated seconds per seed.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "game", "--example", "seeds", "--"]);
    command.args([options.seeds, u64::from(options.seconds), options.first_seed].map(|number| number.to_string()));
    step("simulated matches", &mut command)
}

/// Five times as long as CI's.
pub(crate) fn deep(seeds: u64) -> anyhow::Result<()> {
    run(&Options { seeds, first_seed: 1, seconds: 300 })
}
