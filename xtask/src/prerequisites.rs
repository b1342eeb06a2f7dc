//! What the tests need of the system beside Rust and a C compiler: a browser for the console's tests, a PostgreSQL server,
//! a Redis server, a NATS server and a counter of system calls for those of the stores.

use std::process::{Command, Stdio};

use anyhow::bail;

/// Debian's packages, and the programs that they bring.
const NEEDED: [(&str, &str); 6] = [
    ("chromium", "chromium"),
    ("chromium-driver", "chromedriver"),
    ("postgresql", POSTGRES),
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("strace", "strace"),
];

/// Debian keeps the server's programs in a folder of each version, outside the path.
const POSTGRES: &str = "postgres";

/// Installs what is missing, as root on a system with apt; elsewhere says how.
pub(crate) fn install() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(_, program)| !is_there(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !is_root() || !is_there("apt-get") {
        bail!(
            "the tests need a browser, PostgreSQL 15 or newer, Redis 7, NATS 2.9 or newer and strace: install {packages} (Debian: sudo apt-get install {packages})"
        );
    }
    println!("== installing {packages} by apt-get, for the tests");
    apt(&["update", "-q"])?;
    apt(&[["install", "-y", "-q", "--no-install-recommends"].as_slice(), &missing].concat())
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status()?;
    if !status.success() {
        bail!("apt-get {}: {status}", arguments.join(" "));
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    if program == POSTGRES {
        return testkit::postgres::programs().is_ok();
    }
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
