//! `cargo xtask e2e`: Muster on a real cluster, from the chart to the result of the last match.
//!
//! It needs an API server and nodes that run pods (KUBECONFIG), and a way to bring images onto the nodes. Agones is taken
//! as it is found; where there is none, the stand-in of crate `cluster` plays it. Everything goes through `kubectl`,
//! `helm` and the programs' own commands, as an operator would go.

mod agones;
mod api_proxy;
mod bots;
mod cluster_tests;
mod cut_off;
mod images;
pub(crate) mod kubectl;
mod manifests;
mod report;
mod scenarios;
mod stage;
mod witness;

use anyhow::Context as _;

pub(crate) use report::Output;
use report::Report;
use stage::Stage;

/// What to run, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to print on stdout at the end.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Scenarios to run, in this order, instead of all; see `--list`.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Print the names of the scenarios, and end.
    #[arg(long)]
    list: bool,
    /// Leave everything as it is at the end, to look at it.
    #[arg(long)]
    keep: bool,
    /// Build with optimisation; slower to build, and what users run.
    #[arg(long)]
    release: bool,
    /// Images lie on the nodes already.
    #[arg(long)]
    no_images: bool,
    /// Leave out the tests of single crates that need a cluster.
    #[arg(long)]
    no_crate_tests: bool,
    /// Kills of the scenario `kills`.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    kills: u32,
    /// Seed of what is random; random where it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Command that brings image archives onto the nodes; their paths are appended. For kind: `kind load image-archive`.
    #[arg(long, env = "MUSTER_E2E_LOAD", value_name = "COMMAND")]
    load: Option<String>,
}

/// Runs the scenarios. Fails if any of them did, or if a match was hurt on the way.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        for scenario in scenarios::ALL {
            println!("{:<12} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let chosen = scenarios::chosen(&options.only)?;
    kubectl::reachable().context("the end-to-end tests need a cluster: set KUBECONFIG to one that may be changed")?;
    if !options.no_images {
        images::bring(options, scenarios::need_previous(&chosen))?;
    }
    let mut report = Report::new(options.seed.unwrap_or_else(report::random_seed));
    let mut stage = Stage::set(options, report.seed)?;
    for scenario in chosen {
        report.run(scenario, &mut stage);
    }
    report.conclude(&stage.witness);
    if report.is_good() && !options.no_crate_tests {
        cluster_tests::run(&mut report)?;
    }
    // Before the stage is cleared, which may fail or take minutes: nobody shall miss what the run found.
    report.print(options.output)?;
    if !options.keep {
        stage.clear()?;
    }
    anyhow::ensure!(report.is_good(), "the end-to-end tests failed; seed {}", report.seed);
    Ok(())
}

/// Nothing but the kills, as many as these.
pub(crate) fn kills(kills: u32, seed: Option<u64>, load: Option<String>, release: bool) -> anyhow::Result<()> {
    run(&Options {
        output: Output::Text,
        only: vec!["kills".to_owned()],
        list: false,
        keep: false,
        release,
        no_images: false,
        no_crate_tests: true,
        kills,
        seed,
        load,
    })
}
