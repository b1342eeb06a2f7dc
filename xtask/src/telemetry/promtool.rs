//! promtool, Prometheus' own judge of rules: out of Debian's package, unpacked below `target`, so that no server is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::command::root;

/// Debian's package that has it.
const PACKAGE: &str = "prometheus";

/// Makes promtool available: the system's, or one unpacked below `target`.
pub(crate) fn install() -> anyhow::Result<()> {
    if find().is_some() {
        return Ok(());
    }
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    println!("== unpacking promtool into {}, for the tests of the alerts", folder.display());
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "download", PACKAGE]).current_dir(&folder);
        command
    };
    let help = "the alerts' tests need promtool: install Prometheus, or put promtool on the PATH";
    let mut status = apt_get().status().context(help)?;
    if !status.success() {
        // A machine that has never updated its lists knows no package; only root may update them.
        let _ = Command::new("apt-get").args(["-q", "update"]).status();
        status = apt_get().status()?;
    }
    ensure!(status.success(), "{help} (apt-get download {PACKAGE}: {status})");
    let files = std::fs::read_dir(&folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let Some(archive) = files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"))
    else {
        bail!("{help} (no archive in {})", folder.display());
    };
    let status = Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&folder).status()?;
    ensure!(status.success(), "dpkg-deb -x {}: {status}", archive.display());
    std::fs::remove_file(archive)?;
    find().map(|_| ()).context(help)
}

/// The program, if it is there.
pub(crate) fn find() -> Option<PathBuf> {
    let works = |program: &Path| {
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    [PathBuf::from("promtool"), folder().join("usr/bin/promtool")].into_iter().find(|program| works(program))
}

fn folder() -> PathBuf {
    root().join("target/promtool")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What promtool says to these arguments; an error unless it is content.
    fn promtool(arguments: &[&str]) -> Result<(), String> {
        let program = find().expect("promtool; `cargo xtask test` unpacks it");
        let output = Command::new(program).args(arguments).current_dir(root()).output().expect("promtool starts");
        let said = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
    }

    fn files(folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| format!("{folder}/{}", entry.expect("an entry").file_name().display())).collect();
        names.retain(|name| name.ends_with(".yaml"));
        names.sort();
        names
    }

    #[test]
    fn every_alert_fires_when_its_test_says_and_not_before() {
        let tests = files("deploy/alerts/tests");
        assert!(!tests.is_empty());
        let arguments = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str));
        promtool(&arguments.collect::<Vec<_>>()).unwrap_or_else(|said| panic!("{said}"));
    }

    #[test]
    fn prometheus_takes_the_rules() {
        let rules = files("deploy/alerts");
        let arguments =
            ["check", "rules", "--lint=all", "--lint-fatal"].into_iter().chain(rules.iter().map(String::as_str));
        promtool(&arguments.collect::<Vec<_>>()).unwrap_or_else(|said| panic!("{said}"));
    }
}
