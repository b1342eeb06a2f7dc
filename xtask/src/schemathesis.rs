//! `cargo xtask schemathesis`: the metagame API against its document, by somebody who knows nothing but that.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::command::{cargo, root, step};

/// What schemathesis is, to the last of what it stands on.
const REQUIREMENTS: &str = "metagame/tests/schemathesis/requirements.txt";
/// Where it is installed; the test looks for it there.
const FOLDER: &str = "target/schemathesis";

/// How long it looks.
#[derive(Args)]
pub(crate) struct Options {
    /// Cases for each operation, in each of its phases.
    #[arg(long, default_value_t = 50)]
    cases: u32,
    /// Seed of what is random; random where it is not given, and always printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Build without optimisation: sooner built, slower.
    #[arg(long)]
    dev: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    look(options.cases, options.seed, !options.dev)
}

/// The test of `cargo xtask test`, with more cases.
pub(crate) fn look(cases: u32, seed: Option<u64>, release: bool) -> anyhow::Result<()> {
    install()?;
    let seed = seed.unwrap_or_else(random);
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "api"]);
    if release {
        command.arg("--release");
    }
    command.args(["--", "--nocapture", "schemathesis"]);
    command.env("MUSTER_SCHEMATHESIS_CASES", cases.to_string());
    command.env("MUSTER_SCHEMATHESIS_SEED", seed.to_string());
    step(&format!("schemathesis, {cases} cases for each operation, --seed {seed}"), &mut command)
}

/// Into target/schemathesis, once for each list of requirements.
pub(crate) fn install() -> anyhow::Result<()> {
    install_into(&root().join(FOLDER), &root().join(REQUIREMENTS))
}

fn install_into(folder: &Path, requirements: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(requirements).with_context(|| requirements.display().to_string())?;
    // Written last: what an interrupted installation left is not taken for a whole one.
    let mark = folder.join("requirements.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    println!("Installing schemathesis into {} for the test of the API's document.", folder.display());
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(folder);
    let status = pip.arg("-r").arg(requirements).status();
    let status = status.context("cannot start python3; the test of the API's document needs Python 3 with pip")?;
    anyhow::ensure!(status.success(), "pip cannot install schemathesis: {status}");
    std::fs::write(mark, wanted)?;
    Ok(())
}

fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    u64::from(RandomState::new().hash_one(()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned() {
        let text = std::fs::read_to_string(root().join(REQUIREMENTS)).expect("the list");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().any(|line| line.starts_with("schemathesis==")), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("==")), "{lines:?}");
    }
}
