//! CPU time by process, from `/proc`; nothing where there is none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Ticks of `/proc` per second: the kernel shows every architecture of today this number (USER_HZ).
const TICKS_PER_S: f64 = 100.0;
/// Other programs of interest, by the name in `/proc/<pid>/comm`.
const OTHERS: [&str; 2] = ["kube-apiserver", "etcd"];

/// Cores that each process kept busy.
#[derive(Debug, Default)]
pub(crate) struct Shares(pub(crate) BTreeMap<String, f64>);

/// CPU times so far.
pub(crate) struct Meter {
    since: Instant,
    ids: BTreeMap<String, u32>,
    before: BTreeMap<String, f64>,
}

impl Meter {
    /// Measures from now on: this process, the allocator, and what else is known.
    pub(crate) fn start(allocator: Option<u32>) -> Self {
        let mut ids = BTreeMap::from([("load".to_owned(), std::process::id())]);
        ids.extend(allocator.map(|id| ("allocator".to_owned(), id)));
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if let (Some(id), Some(name)) = (id, OTHERS.iter().find(|name| **name == comm.trim())) {
                ids.insert((*name).to_owned(), id);
            }
        }
        Self { since: Instant::now(), before: ticks(&ids), ids }
    }

    /// Cores since then.
    pub(crate) fn stop(self) -> Shares {
        let seconds = self.since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let used = ticks(&self.ids).into_iter().filter_map(|(name, after)| {
            let cores = (after - self.before.get(&name)?) / TICKS_PER_S / seconds;
            Some((name, (cores * 100.0).round() / 100.0))
        });
        Shares(used.collect())
    }
}

fn ticks(ids: &BTreeMap<String, u32>) -> BTreeMap<String, f64> {
    let of = |id: &u32| busy(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?);
    let machine = std::fs::read_to_string("/proc/stat").ok().and_then(|text| busy_in_all(&text));
    let mut ticks: BTreeMap<String, f64> = ids.iter().filter_map(|(name, id)| Some((name.clone(), of(id)?))).collect();
    ticks.extend(machine.map(|ticks| ("whole machine".to_owned(), ticks)));
    ticks
}

/// User and system time in a line of `/proc/<pid>/stat`: fields 14 and 15, counted behind the name, which may hold spaces.
fn busy(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

/// All but idle and waiting for disks in the first line of `/proc/stat`.
fn busy_in_all(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.split_whitespace().skip(1).take(8).map(str::parse::<f64>);
    let fields = fields.collect::<Result<Vec<_>, _>>().ok()?;
    Some(fields.iter().enumerate().filter(|(index, _)| ![3, 4].contains(index)).map(|(_, ticks)| ticks).sum())
}

/// The machine's load average of the last minute.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_spaces() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(busy(line), Some(300.0));
        assert_eq!(busy("nonsense"), None);
        assert_eq!(busy_in_all("cpu  1 2 3 1000 2000 4 5 6 7 8\ncpu0 1"), Some(21.0));
    }
}
