//! Every test of the workspace, with one line of counts at the end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::command::cargo;

/// What the lines `test result: …` of all test programs add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Good ones.
    pub(crate) passed: u64,
    /// Bad ones.
    pub(crate) failed: u64,
    ignored: u64,
}

pub(crate) fn run(rest: &[String]) -> anyhow::Result<()> {
    println!("Tests need Rust, a C++ compiler, Python 3 with pip, PostgreSQL 15 and strace; ports are chosen freely.");
    install_aioquic()?;
    crate::schemathesis::install()?;
    crate::prerequisites::install()?;
    crate::telemetry::install_promtool()?;
    // One server for all test programs; each test makes a database of its own. It ends with this function, or this process.
    let postgres = testkit::postgres::Server::start().map_err(anyhow::Error::msg)?;
    let mut command = cargo();
    command.env(testkit::postgres::VARIABLE, postgres.url());
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if !rest.is_empty() {
        command.arg("--").args(rest);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read the output of cargo test")?;
        counts.add(&line);
        writeln!(std::io::stdout(), "{line}")?;
    }
    let status = child.wait()?;
    let Counts { passed, failed, ignored } = counts;
    println!("\ntotal: {passed} passed, {failed} failed, {ignored} skipped");
    if !status.success() || failed > 0 || passed == 0 {
        bail!("cargo test: {status}");
    }
    Ok(())
}

/// The QUIC client of another make, for the interop test of gameserver: into target/python, once.
fn install_aioquic() -> anyhow::Result<()> {
    let folder = crate::command::root().join("target/python");
    if folder.join("aioquic").is_dir() {
        return Ok(());
    }
    println!("Installing aioquic into {} for the QUIC interop test.", folder.display());
    let mut pip = std::process::Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&folder).arg("aioquic");
    let status = pip.status().context("cannot start python3; the QUIC interop test needs Python 3 with pip")?;
    anyhow::ensure!(status.success(), "pip cannot install aioquic: {status}");
    Ok(())
}

impl Counts {
    /// Adds a line, if it has counts.
    pub(crate) fn add(&mut self, line: &str) {
        let Some(rest) = line.trim().strip_prefix("test result: ") else { return };
        let counts = rest.split_once(". ").map_or(rest, |(_, counts)| counts);
        for part in counts.split("; ") {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_programs_add_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 11 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.04s");
        counts.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add("test core::tests::x ... ok");
        assert_eq!(counts, Counts { passed: 13, failed: 3, ignored: 1 });
    }
}
