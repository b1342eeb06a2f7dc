//! What processes take: CPU and memory, as the kernel counts them.

use std::collections::BTreeMap;

/// Ticks of the kernel's CPU accounts per second; fixed on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU that a process and its living children have taken so far.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let all = stats();
    let mut wanted = vec![pid];
    let mut ticks = 0;
    while let Some(one) = wanted.pop() {
        ticks += all.get(&one).map_or(0, |stat| stat.ticks);
        wanted.extend(all.iter().filter(|(_, stat)| stat.parent == one).map(|(pid, _)| *pid));
    }
    ticks as f64 / TICKS_PER_SECOND
}

/// Bytes that a process has in memory now.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// Files and sockets that this process, and those that it starts, may have open; no bound where the kernel names none.
pub(crate) fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

struct Stat {
    parent: u32,
    /// In user mode and in the kernel, children that have ended included.
    ticks: u64,
}

fn stats() -> BTreeMap<u32, Stat> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // One that has ended meanwhile is not there any more.
    pids.filter_map(|pid| Some((pid, stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// The fields behind the name, which is in parentheses and may hold anything.
fn stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}
