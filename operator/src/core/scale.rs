//! How many servers a region should have.
//!
//! `servers = busy + ceil(max(0, max(queued matches, arrival rate × p95 start-up) − free rooms) / capacity) + buffer`,
//! between the minimum and the maximum. It grows at once and shrinks only after demand was lower for the whole delay.

use std::collections::VecDeque;
use std::time::Duration;

/// What a region has and what is asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Demand {
    /// Servers with at least one match.
    pub busy_servers: u32,
    /// Free rooms on those servers: a half-full server can take more. Empty servers are not counted: they are what is sized.
    pub free_rooms_on_busy: u32,
    /// Matches that wait for a server, or that the queue could make at once.
    pub queued_matches: u32,
    /// New matches per second, lately.
    pub arrivals_per_s: f64,
    /// 95th percentile of the time from creation to the pool, in seconds.
    pub startup_s: f64,
    /// Busy servers expected when a server started now is ready; 0 without a forecast.
    pub forecast_busy: u32,
}

/// What the user allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Matches per server.
    pub capacity: u32,
    /// Fewest servers, by pool and schedule.
    pub minimum: u32,
    /// Most servers: the hard cap.
    pub maximum: u32,
    /// Idle servers beyond what is asked for.
    pub buffer: u32,
    /// Most servers that a forecast may add.
    pub forecast_extra: u32,
}

/// Servers that demand asks for now, within the bounds.
///
/// # Panics
/// If `capacity` is 0, which the schema refuses.
pub fn wanted(demand: &Demand, bounds: &Bounds) -> u32 {
    let arriving = (demand.arrivals_per_s.max(0.0) * demand.startup_s.max(0.0)).ceil() as u32;
    let rooms = demand.queued_matches.max(arriving).saturating_sub(demand.free_rooms_on_busy);
    let by_demand = demand.busy_servers + rooms.div_ceil(bounds.capacity) + bounds.buffer;
    let ahead = (demand.forecast_busy + bounds.buffer).min(by_demand + bounds.forecast_extra);
    by_demand.max(ahead).clamp(bounds.minimum.min(bounds.maximum), bounds.maximum)
}

/// Remembers what was wanted, so that a fleet shrinks only to the most that was wanted during the delay.
#[derive(Debug, Clone, Default)]
pub struct ScaleDown {
    /// Moments and wishes, newest last, each wish smaller than all before it.
    wishes: VecDeque<(Duration, u32)>,
}

impl ScaleDown {
    /// The size to write: `wanted`, or the largest wish of the last `delay`.
    pub fn settle(&mut self, now: Duration, wanted: u32, delay: Duration) -> u32 {
        // The last wish was the wish until now.
        if let Some((until, _)) = self.wishes.back_mut() {
            *until = now;
        }
        while self.wishes.back().is_some_and(|(_, wish)| *wish <= wanted) {
            self.wishes.pop_back();
        }
        self.wishes.push_back((now, wanted));
        while self.wishes.len() > 1 && self.wishes.front().is_some_and(|(at, _)| *at + delay <= now) {
            self.wishes.pop_front();
        }
        self.wishes.front().map_or(wanted, |(_, wish)| *wish)
    }

    /// When the size may shrink next.
    pub fn next(&self, delay: Duration) -> Option<Duration> {
        (self.wishes.len() > 1).then(|| self.wishes.front().map(|(at, _)| *at + delay)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { capacity: 4, minimum: 2, maximum: 20, buffer: 1, forecast_extra: 0 };

    #[test]
    fn servers_follow_the_queue_by_rooms_not_by_matches() {
        let quiet = Demand::default();
        assert_eq!(wanted(&quiet, &BOUNDS), 2, "the minimum");
        let queued = Demand { busy_servers: 3, free_rooms_on_busy: 2, queued_matches: 11, ..quiet };
        assert_eq!(wanted(&queued, &BOUNDS), 3 + 3 + 1, "nine matches need three servers of four rooms");
        let roomy = Demand { free_rooms_on_busy: 12, ..queued };
        assert_eq!(wanted(&roomy, &BOUNDS), 3 + 1);
        let flood = Demand { queued_matches: 1_000, ..queued };
        assert_eq!(wanted(&flood, &BOUNDS), 20, "the hard cap");
    }

    #[test]
    fn arrivals_during_a_start_count_like_a_queue() {
        let demand = Demand { arrivals_per_s: 1.5, startup_s: 8.0, ..Demand::default() };
        assert_eq!(wanted(&demand, &BOUNDS), 3 + 1, "twelve matches arrive while a server starts");
    }

    #[test]
    fn a_forecast_adds_no_more_than_it_may() {
        let demand = Demand { busy_servers: 2, forecast_busy: 15, ..Demand::default() };
        assert_eq!(wanted(&demand, &BOUNDS), 3, "no forecast allowed");
        assert_eq!(wanted(&demand, &Bounds { forecast_extra: 5, ..BOUNDS }), 8);
        assert_eq!(wanted(&demand, &Bounds { forecast_extra: 50, ..BOUNDS }), 16);
    }

    #[test]
    fn the_size_grows_at_once_and_shrinks_when_the_delay_is_over() {
        let (mut memory, delay) = (ScaleDown::default(), Duration::from_secs(300));
        let mut at = |second, wanted| memory.settle(Duration::from_secs(second), wanted, delay);
        assert_eq!([at(0, 4), at(10, 9), at(20, 6), at(200, 5)], [4, 9, 9, 9]);
        assert_eq!(at(309, 5), 9, "nine was wanted until second 20");
        assert_eq!(at(320, 5), 6, "six until second 200");
        assert_eq!([at(330, 7), at(331, 3), at(400, 3), at(631, 3)], [7, 7, 7, 3]);
    }
}
