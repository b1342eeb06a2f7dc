//! Running other programs from the repository's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the repository's root").to_path_buf()
}

/// The cargo that runs this program, as if it were called from a shell.
///
/// What cargo tells xtask of itself (`CARGO_PKG_NAME` and the like) is taken away again: build scripts, ring's for one, are run
/// anew when they see other values, and with them all that stands on ring is built again at each change from `cargo xtask` to
/// `cargo` and back.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    let is_own = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CFG_"].iter().any(|own| name.starts_with(own));
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| is_own(name)) {
        command.env_remove(name);
    }
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
