//! One direction of an emulated network.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Conditions, Random};
use crate::Micros;

/// Carries datagrams one way. Virtual or real time, whatever the caller's `now` is.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    random: Random,
    /// Datagrams on their way, by arrival and then by order of sending.
    travelling: BTreeMap<(Micros, u64), Vec<u8>>,
    order: u64,
    /// Until when the rate is used up.
    busy_until: Micros,
    stats: LinkStats,
}

/// What a link did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams given to `send`.
    pub sent: u64,
    /// Datagrams taken from `poll`, duplicates included.
    pub delivered: u64,
    /// Datagrams lost at random.
    pub lost: u64,
    /// Datagrams longer than the MTU.
    pub too_long: u64,
    /// Datagrams that found the queue of the rate full.
    pub queue_full: u64,
}

impl Link {
    /// A link with these conditions; the seed decides which datagrams they hit.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: Random::new(seed),
            travelling: BTreeMap::new(),
            order: 0,
            busy_until: Micros::ZERO,
            stats: LinkStats::default(),
        }
    }

    /// Changes the conditions for what is sent from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Micros, bytes: &[u8]) {
        self.stats.sent += 1;
        if bytes.len() > self.conditions.mtu {
            self.stats.too_long += 1;
            return;
        }
        let Some(departs) = self.pass_rate(now, bytes.len()) else {
            self.stats.queue_full += 1;
            return;
        };
        if self.random.chance(self.conditions.loss) {
            self.stats.lost += 1;
            return;
        }
        let copies = if self.random.chance(self.conditions.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let arrives = departs + self.delay();
            let bytes = self.corrupted(bytes);
            self.travelling.insert((arrives, self.order), bytes);
            self.order += 1;
        }
    }

    /// The next datagram that has arrived.
    pub fn poll(&mut self, now: Micros) -> Option<Vec<u8>> {
        let (&(arrives, _), _) = self.travelling.first_key_value()?;
        if arrives > now {
            return None;
        }
        self.stats.delivered += 1;
        self.travelling.pop_first().map(|(_, bytes)| bytes)
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.travelling.first_key_value().map(|((arrives, _), _)| *arrives)
    }

    /// What the link did so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// When the last bit leaves the bottleneck; `None`: its queue is full.
    fn pass_rate(&mut self, now: Micros, bytes: usize) -> Option<Micros> {
        let Some(rate) = self.conditions.rate.filter(|rate| *rate > 0) else { return Some(now) };
        let starts = self.busy_until.max(now);
        let waiting_bytes = starts.since(now).as_micros() * u128::from(rate) / 1_000_000;
        if waiting_bytes + bytes as u128 > self.conditions.queue_bytes as u128 {
            return None;
        }
        self.busy_until = starts + Duration::from_micros(bytes as u64 * 1_000_000 / rate);
        Some(self.busy_until)
    }

    fn delay(&mut self) -> Duration {
        let jitter_us = u64::try_from(self.conditions.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(self.random.below(jitter_us.saturating_add(1)));
        let held =
            if self.random.chance(self.conditions.reorder) { self.conditions.reorder_by } else { Duration::ZERO };
        self.conditions.latency + jitter + held
    }

    fn corrupted(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if self.random.chance(self.conditions.corrupt) && !bytes.is_empty() {
            let bit = self.random.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` numbered datagrams, one per millisecond, and returns them with their arrival, in order of it.
    fn carry(conditions: Conditions, seed: u64, count: u64) -> Vec<(u64, Micros)> {
        let mut link = Link::new(conditions, seed);
        let mut arrived = Vec::new();
        for ms in 0..count + 2_000 {
            let now = Micros::from_millis(ms);
            if ms < count {
                link.send(now, &ms.to_le_bytes());
            }
            while let Some(bytes) = link.poll(now) {
                arrived.push((u64::from_le_bytes(bytes.try_into().unwrap()), now));
            }
        }
        assert_eq!(link.poll_timeout(), None);
        arrived
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_seed_another() {
        let rough = Conditions::rough(0.1);
        assert_eq!(carry(rough, 1, 500), carry(rough, 1, 500));
        assert_ne!(carry(rough, 1, 500), carry(rough, 2, 500));
    }

    #[test]
    fn every_condition_does_what_it_says() {
        let perfect = carry(Conditions::latency_ms(30), 1, 100);
        assert!(perfect.iter().enumerate().all(|(n, (got, at))| n as u64 == *got && at.0 == (got + 30) * 1_000));
        let lossy = carry(Conditions { loss: 0.2, ..Conditions::PERFECT }, 1, 10_000).len();
        assert!((7_800..8_200).contains(&lossy), "{lossy} of 10,000 arrived at 20 % loss");
        let doubled = carry(Conditions { duplicate: 0.5, ..Conditions::PERFECT }, 1, 10_000).len();
        assert!((14_700..15_300).contains(&doubled), "{doubled} arrived at 50 % duplicates");
        let jittery = carry(Conditions { jitter: Duration::from_millis(20), ..Conditions::PERFECT }, 1, 1_000);
        assert!(jittery.windows(2).any(|pair| pair[0].0 > pair[1].0), "jitter reorders");
        let reordered = carry(Conditions { reorder: 0.1, ..Conditions::PERFECT }, 1, 1_000);
        let late = reordered.iter().filter(|(sent, at)| at.0 == (sent + 20) * 1_000).count();
        assert!((70..130).contains(&late), "{late} of 1,000 were held back at 10 %");
    }

    #[test]
    fn long_datagrams_vanish_and_corrupt_ones_differ_in_one_bit() {
        let mut link = Link::new(Conditions { mtu: 1_200, corrupt: 1.0, ..Conditions::PERFECT }, 1);
        link.send(Micros(0), &[0; 1_201]);
        link.send(Micros(0), &[0; 1_200]);
        let flipped: u32 = link.poll(Micros(0)).unwrap().iter().map(|byte| byte.count_ones()).sum();
        assert_eq!((flipped, link.poll(Micros(0)), link.stats().too_long), (1, None, 1));
    }

    #[test]
    fn a_rate_delays_and_its_queue_is_bounded() {
        let conditions = Conditions { rate: Some(100_000), queue_bytes: 10_000, ..Conditions::PERFECT };
        let mut link = Link::new(conditions, 1);
        for _ in 0..20 {
            link.send(Micros(0), &[0; 1_000]);
        }
        assert_eq!(link.stats().queue_full, 10);
        assert_eq!(link.poll_timeout(), Some(Micros(10_000)));
        let arrived = std::iter::from_fn(|| link.poll(Micros(50_000))).count();
        assert_eq!(arrived, 5, "1,000 bytes take 10 ms each");
    }
}
