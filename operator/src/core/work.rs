//! What to look at next: each key at most once at a time, not too often, soon after it changed, later after it failed.

use std::collections::BTreeMap;
use std::time::Duration;

/// Two looks at one key begin at least this far apart, so that a burst of changes is one look.
const GAP: Duration = Duration::from_millis(50);
/// A key is looked at this often even if nothing changes: clocks move too. A look by itself costs no request.
const AT_LEAST: Duration = Duration::from_secs(5);
/// First wait after a failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Keys and when each is due. Time is that of a monotonic clock since any fixed point.
#[derive(Debug)]
pub struct Work<K> {
    keys: BTreeMap<K, Item>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Item {
    due: Duration,
    looked: Option<Duration>,
    running: bool,
    failures: u32,
    /// Looks in a row that saw something old.
    stale: u32,
    /// Its object is gone: forget it when it no longer runs.
    forgotten: bool,
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Well; look again at this moment at the latest.
    Well(Option<Duration>),
    /// What was seen was old: look again soon.
    Stale,
    /// A write failed.
    Failed,
}

impl<K> Default for Work<K> {
    fn default() -> Self {
        Self { keys: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Work<K> {
    /// Something changed for this key.
    pub fn mark(&mut self, key: K, now: Duration) {
        let item = self.keys.entry(key).or_default();
        item.forgotten = false;
        // After a failure the wait stands: a change is no reason to believe that the API server is well again.
        if item.failures == 0 {
            item.due = item.looked.map_or(now, |looked| now.max(looked + GAP)).min(item.due.max(now));
        }
    }

    /// Every key is due: this process leads from now on.
    pub fn mark_all(&mut self, now: Duration) {
        for item in self.keys.values_mut() {
            (item.due, item.failures) = (now, 0);
        }
    }

    /// Its object is gone.
    pub fn forget(&mut self, key: &K) {
        if let Some(item) = self.keys.get_mut(key) {
            item.forgotten = true;
            if !item.running {
                self.keys.remove(key);
            }
        }
    }

    /// The next key that is due; it runs until [`Self::done`].
    pub fn next(&mut self, now: Duration) -> Option<K> {
        let ready = |item: &Item| !item.running && item.due <= now;
        let (key, item) = self.keys.iter_mut().filter(|(_, item)| ready(item)).min_by_key(|(_, item)| item.due)?;
        (item.running, item.looked, item.due) = (true, Some(now), now + AT_LEAST);
        Some(key.clone())
    }

    /// When the next key is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.keys.values().filter(|item| !item.running).map(|item| item.due).min()
    }

    /// A look has ended. `entropy` spreads the waits of keys that failed together.
    pub fn done(&mut self, key: &K, now: Duration, looked: Looked, entropy: u64) {
        let Some(item) = self.keys.get_mut(key) else { return };
        item.running = false;
        if item.forgotten {
            self.keys.remove(key);
            return;
        }
        match looked {
            Looked::Well(again) => {
                (item.failures, item.stale) = (0, 0);
                item.due = again.map_or(item.due, |again| again.max(now + GAP).min(item.due));
            }
            Looked::Stale => {
                item.due = now + GAP.saturating_mul(1 << item.stale.min(6));
                item.stale += 1;
            }
            Looked::Failed => {
                let step = RETRY_FIRST.saturating_mul(1 << item.failures.min(16)).min(RETRY_MAX);
                item.failures += 1;
                item.due = now + step / 2 + (step / 2).mul_f64(entropy as f64 / u64::MAX as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_change_is_looked_at_at_once_and_a_burst_of_them_once() {
        let mut work = Work::default();
        work.mark("a", ms(100));
        assert_eq!(work.next(ms(100)), Some("a"));
        work.mark("a", ms(101));
        work.mark("a", ms(102));
        assert_eq!(work.next(ms(103)), None, "it runs");
        work.done(&"a", ms(104), Looked::Well(None), 0);
        assert_eq!((work.next(ms(149)), work.next_at()), (None, Some(ms(150))), "not too often");
        assert_eq!(work.next(ms(150)), Some("a"));
        work.done(&"a", ms(151), Looked::Well(Some(ms(900))), 0);
        assert_eq!(work.next_at(), Some(ms(900)));
        assert_eq!(work.next(ms(900)), Some("a"));
        work.done(&"a", ms(901), Looked::Well(None), 0);
        assert_eq!(work.next_at(), Some(ms(5_900)), "clocks move too");
    }

    #[test]
    fn failures_wait_longer_and_longer_and_a_change_does_not_hurry_them() {
        let mut work = Work::default();
        work.mark("a", ms(0));
        let mut now = ms(0);
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert_eq!(work.next(now), Some("a"));
            work.done(&"a", now, Looked::Failed, u64::MAX);
            work.mark("a", now);
            waits.push(work.next_at().expect("one") - now);
            now = work.next_at().expect("one");
        }
        assert_eq!((waits[0], waits[1], waits[9]), (ms(200), ms(400), ms(30_000)));
        work.mark_all(ms(7));
        assert_eq!(work.next(ms(7)), Some("a"), "a new leader waits for nothing");
    }

    #[test]
    fn what_is_gone_is_forgotten_even_while_it_runs() {
        let mut work = Work::default();
        work.mark("a", ms(0));
        work.mark("b", ms(0));
        assert_eq!(work.next(ms(0)), Some("a"));
        work.forget(&"a");
        work.forget(&"b");
        work.done(&"a", ms(1), Looked::Stale, 0);
        assert_eq!((work.next_at(), work.next(ms(10_000))), (None, None));
    }
}
