//! What a waiting ticket tolerates right now: the columns that the search reads.

use super::density::Density;
use super::pool::Waiting;
use super::queue_config::QueueConfig;
use super::region::Reach;

/// A waiting ticket with its tolerance at one moment.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The ticket.
    pub waiting: &'a Waiting,
    /// How far the rating of any other ticket of its match may be.
    pub window: f64,
    /// Longest acceptable round-trip time in milliseconds.
    pub rtt_limit_ms: u32,
    /// Acceptable regions as bits; bit 0 alone where the queue has no regions.
    pub regions: u32,
    /// Whether it has waited so long that it picks its match first.
    pub starving: bool,
}

impl<'a> Candidate<'a> {
    /// The tolerance of a ticket at `now_ms`.
    pub fn new(waiting: &'a Waiting, queue: &QueueConfig, density: &Density, now_ms: u64) -> Self {
        let waited_ms = now_ms.saturating_sub(waiting.created_ms);
        let window = queue.rating.map_or(f64::INFINITY, |rule| {
            let aged = rule.window(waited_ms);
            aged.max(density.window(waiting.rating, aged, rule.window_max))
        });
        let rtt_limit_ms = queue.rtt.limit_ms(waited_ms);
        let reach = Reach { rtts: &waiting.rtts, limit_ms: rtt_limit_ms };
        let regions = if queue.regions.is_empty() { 1 } else { reach.mask() };
        let starving = waited_ms >= u64::from(queue.starving_after_s) * 1_000;
        Self { waiting, window, rtt_limit_ms, regions, starving }
    }

    /// Its rating.
    pub fn rating(&self) -> f64 {
        self.waiting.rating
    }

    /// What it says about regions.
    pub fn reach(&self) -> Reach<'a> {
        Reach { rtts: &self.waiting.rtts, limit_ms: self.rtt_limit_ms }
    }
}
