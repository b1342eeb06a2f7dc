//! The machine: what builds Muster, clock, limits of files and of UDP buffers.

use std::process::Command;

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;

/// Oldest Rust that builds Muster.
const RUST_MIN: (u32, u32) = (1, 95);
/// Socket buffers that a game server asks for; the kernel gives twice the limit at most.
const UDP_BUFFER_BYTES: u64 = 4 * 1024 * 1024;
/// Below this many open files a platform with bots runs out; below the second it does not start well.
const FILES: (u64, u64) = (4_096, 256);
/// A clock before this moment was never set (the year 2025), after the other it is wrong (2100).
const CLOCK_S: std::ops::Range<u64> = 1_735_689_600..4_102_444_800;

/// Everything about the machine.
pub(super) fn examine() -> Vec<Finding> {
    let mut findings = toolchain();
    findings.push(clock(service::clock::unix_s()));
    findings.push(open_files(getrlimit(Resource::Nofile).current));
    for (name, path) in [("UDP receive buffer", "rmem_max"), ("UDP send buffer", "wmem_max")] {
        let limit = std::fs::read_to_string(format!("/proc/sys/net/core/{path}"));
        findings
            .extend(limit.ok().and_then(|text| text.trim().parse().ok()).map(|bytes| udp_buffer(name, path, bytes)));
    }
    findings
}

/// What builds Muster and games: only of interest where something is being built.
fn toolchain() -> Vec<Finding> {
    let builds_here =
        std::env::current_dir().is_ok_and(|folder| folder.ancestors().any(|f| f.join("Cargo.toml").is_file()));
    if !builds_here {
        return Vec::new();
    }
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    };
    let compiler = match version("cc") {
        Some(found) => Finding::ok("C compiler", found),
        None => {
            Finding::fail("C compiler", "cc is not here", "install gcc or clang; SQLite and ring are built with it")
        }
    };
    vec![rust(version("rustc").as_deref()), compiler]
}

fn rust(version: Option<&str>) -> Finding {
    let Some(version) = version else {
        return Finding::fail("Rust", "rustc is not here", "install rustup from https://rustup.rs");
    };
    let mut numbers = version.split_whitespace().nth(1).unwrap_or_default().split('.').map_while(|n| n.parse().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= RUST_MIN {
        Finding::ok("Rust", version)
    } else {
        let needed = format!("{}.{}", RUST_MIN.0, RUST_MIN.1);
        Finding::fail("Rust", format!("{version} is older than {needed}"), format!("rustup toolchain install {needed}"))
    }
}

fn clock(now_s: u64) -> Finding {
    if CLOCK_S.contains(&now_s) {
        Finding::ok("clock", format!("{now_s} s since 1970"))
    } else {
        let found = format!("{now_s} s since 1970 cannot be the time");
        Finding::fail("clock", found, "set the clock (timedatectl set-ntp true): tokens live by it")
    }
}

fn open_files(limit: Option<u64>) -> Finding {
    let Some(limit) = limit else { return Finding::ok("open files", "without limit") };
    let found = format!("{limit} per process");
    let advice = "ulimit -n 65536, or LimitNOFILE=65536 in the service's unit";
    match limit {
        limit if limit < FILES.1 => Finding::fail("open files", found, advice),
        limit if limit < FILES.0 => Finding::warn("open files", found, advice),
        _ => Finding::ok("open files", found),
    }
}

fn udp_buffer(name: &str, key: &str, bytes: u64) -> Finding {
    if bytes >= UDP_BUFFER_BYTES {
        return Finding::ok(name, format!("up to {bytes} bytes"));
    }
    let found = format!("at most {bytes} of {UDP_BUFFER_BYTES} bytes: bursts of many players lose packets");
    Finding::warn(name, found, format!("sysctl -w net.core.{key}={UDP_BUFFER_BYTES}, on busy servers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn limits_are_judged_by_what_muster_needs() {
        assert_eq!(open_files(Some(1_024)).status, Status::Warn);
        assert_eq!(open_files(Some(64)).status, Status::Fail);
        assert_eq!(open_files(Some(65_536)).status, Status::Ok);
        assert_eq!(open_files(None).status, Status::Ok);
        assert_eq!(udp_buffer("x", "rmem_max", 212_992).status, Status::Warn);
        assert_eq!(udp_buffer("x", "rmem_max", UDP_BUFFER_BYTES).status, Status::Ok);
    }

    #[test]
    fn old_compilers_and_unset_clocks_are_failures() {
        assert_eq!(rust(Some("rustc 1.95.0 (59807616e 2026-04-14)")).status, Status::Ok);
        assert_eq!(rust(Some("rustc 2.0.0")).status, Status::Ok);
        assert_eq!(rust(Some("rustc 1.80.1")).status, Status::Fail);
        assert_eq!(rust(Some("gibberish")).status, Status::Fail);
        assert_eq!(rust(None).status, Status::Fail);
        assert_eq!(clock(12).status, Status::Fail);
        assert_eq!(clock(1_800_000_000).status, Status::Ok);
    }
}
