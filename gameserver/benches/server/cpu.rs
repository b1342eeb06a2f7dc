//! CPU time of a thread of this process, by its name.

use std::fs;
use std::path::PathBuf;

/// A thread, and its CPU time when it was last looked at.
pub(crate) struct ThreadCpu {
    file: PathBuf,
    last_ns: u64,
}

impl ThreadCpu {
    /// The thread whose name begins so.
    pub(crate) fn of(name: &str) -> Self {
        let folder = fs::read_dir("/proc/self/task").expect("Linux").flatten().map(|task| task.path());
        let is_named = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name));
        let task = folder.filter(is_named).last().unwrap_or_else(|| panic!("no thread is named {name}…"));
        let mut cpu = Self { file: task.join("schedstat"), last_ns: 0 };
        cpu.since_last_us();
        cpu
    }

    /// Microseconds of CPU since the last call. The kernel counts a thread when it stops running, so a thread that
    /// runs at this moment is counted up to its last stop.
    pub(crate) fn since_last_us(&mut self) -> f64 {
        let text = fs::read_to_string(&self.file).expect("the thread lives");
        let now_ns: u64 = text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds come first");
        let since = now_ns - self.last_ns;
        self.last_ns = now_ns;
        since as f64 / 1_000.0
    }
}
