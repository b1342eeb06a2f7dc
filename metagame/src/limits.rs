//! Token buckets per key in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

use crate::config::Rate;

/// Buckets at most: two generations of half as many.
const BUCKETS_MAX: usize = 65_536;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

/// A token bucket for each key. A key that was not seen while half of [`BUCKETS_MAX`] others were starts afresh, so
/// nobody can fill the memory by inventing keys.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
    generation_max: usize,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, young: HashMap::new(), old: HashMap::new(), generation_max: BUCKETS_MAX / 2 }
    }

    /// Takes one token of `key`.
    ///
    /// # Errors
    /// Whole seconds, at least 1, until there is one again.
    pub(crate) fn take(&mut self, key: K, now_ms: u64) -> Result<(), u64> {
        let full = Bucket { tokens: self.rate.burst, at_ms: now_ms };
        let mut bucket = self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(full);
        let passed_s = now_ms.saturating_sub(bucket.at_ms) as f64 / 1_000.0;
        bucket.tokens = (bucket.tokens + passed_s * self.rate.per_second).min(self.rate.burst);
        bucket.at_ms = now_ms;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, bucket);
        if granted {
            return Ok(());
        }
        let wait_s = ((1.0 - bucket.tokens) / self.rate.per_second).ceil();
        Err(if wait_s.is_finite() { (wait_s as u64).clamp(1, 3_600) } else { 3_600 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Buckets<u32> {
        Buckets::new(Rate { per_second: 2.0, burst: 3.0 })
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut buckets = buckets();
        assert!((0..3).all(|_| buckets.take(1, 0).is_ok()));
        assert_eq!(buckets.take(1, 0), Err(1));
        assert_eq!(buckets.take(2, 0), Ok(()), "others are not affected");
        assert_eq!(buckets.take(1, 499), Err(1));
        assert_eq!(buckets.take(1, 500), Ok(()));
        assert_eq!(buckets.take(1, 0), Err(1), "a clock that steps back gives nothing");
    }

    #[test]
    fn inventing_keys_fills_no_memory() {
        let mut buckets = buckets();
        buckets.generation_max = 8;
        for key in 0..1_000 {
            let _ = buckets.take(key, 0);
            assert!(buckets.young.len() + buckets.old.len() <= 16);
        }
    }

    #[test]
    fn a_key_in_use_keeps_its_bucket_while_others_come_and_go() {
        let mut buckets = buckets();
        buckets.generation_max = 8;
        for other in 100..400 {
            let _ = buckets.take(other, 0);
            let _ = buckets.take(1, 0);
        }
        assert_eq!(buckets.take(1, 0), Err(1));
    }
}
