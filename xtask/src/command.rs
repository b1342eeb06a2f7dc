//! Running other programs from the repository's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the repository's root").to_path_buf()
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a step under a heading and fails if it fails.
pub(crate) fn step(heading: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("== {heading}");
    quietly(command).with_context(|| heading.to_owned())
}

/// Like [`step`], with everything on stderr: stdout belongs to a report.
pub(crate) fn aside(heading: &str, command: &mut Command) -> anyhow::Result<()> {
    eprintln!("== {heading}");
    quietly(command.stdout(std::io::stderr())).with_context(|| heading.to_owned())
}

/// Runs a command that has stdout to itself and fails if it fails.
pub(crate) fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}
