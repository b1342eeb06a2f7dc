//! What a match costs, gathered on its tick thread.

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use netcode::Micros;
use netcode::endpoint::Carrier;
use netcode::replication::SeatId;
use protocol::certificate::Participation;
use protocol::pb;

/// Longest tick that is told apart: ten seconds in microseconds.
const TICK_US_MAX: u64 = 10_000_000;
/// How long the load of a room looks back.
const LOAD_PERIOD: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, Default)]
struct Visit {
    joined_ever: bool,
    /// Carriers that the player came by, in order of [`Carrier::ALL`].
    came_by: [bool; Carrier::ALL.len()],
    is_gone: bool,
    /// Since when the client is connected, if it is.
    connected_since: Option<Micros>,
}

/// The figures of one match so far.
#[derive(Debug)]
pub struct Statistics {
    visits: Vec<Visit>,
    ticks: Histogram<u64>,
    recent: Histogram<u64>,
    recent_since: Micros,
    budget_us: u64,
    message: pb::MatchStats,
}

impl Statistics {
    /// Nothing has happened yet in a match with this many seats and this tick budget.
    pub fn new(seats: usize, budget: Duration, now: Micros) -> Self {
        let histogram = |digits| Histogram::new_with_bounds(1, TICK_US_MAX, digits).expect("sensible constant bounds");
        Self {
            visits: vec![Visit::default(); seats],
            ticks: histogram(3),
            recent: histogram(2),
            recent_since: now,
            budget_us: u64::try_from(budget.as_micros()).unwrap_or(u64::MAX).max(1),
            message: pb::MatchStats::default(),
        }
    }

    /// A tick has run; returns whether it took longer than its budget.
    pub fn tick(&mut self, took: Duration, snapshot_bytes: usize) -> bool {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.ticks.saturating_record(us);
        self.recent.saturating_record(us);
        self.message.ticks += 1;
        self.message.snapshot_bytes += snapshot_bytes as u64;
        let is_overrun = us > self.budget_us;
        self.message.tick_overruns += u64::from(is_overrun);
        is_overrun
    }

    /// Deadlines were given up.
    pub fn skipped(&mut self, ticks: u64) {
        self.message.ticks_skipped += ticks;
    }

    /// p99 of recent tick times over the budget in thousandths, once per period.
    pub fn load_permille(&mut self, now: Micros) -> Option<u32> {
        if now.since(self.recent_since) < LOAD_PERIOD {
            return None;
        }
        let p99 = self.recent.value_at_quantile(0.99);
        self.recent.reset();
        self.recent_since = now;
        Some(u32::try_from(p99 * 1_000 / self.budget_us).unwrap_or(u32::MAX))
    }

    /// A session took the seat; `carrier` is none of ours where the game speaks a protocol of its own.
    pub fn joined(&mut self, now: Micros, seat: SeatId, again: bool, carrier: Option<Carrier>) {
        let Some(visit) = self.visits.get_mut(usize::from(seat.0)) else { return };
        if let Some(carrier) = carrier
            && !std::mem::replace(&mut visit.came_by[carrier as usize], true)
        {
            match carrier {
                Carrier::Native => self.message.udp_clients += 1,
                Carrier::Quic => self.message.quic_clients += 1,
            }
        }
        (visit.joined_ever, visit.is_gone) = (true, false);
        visit.connected_since = visit.connected_since.or(Some(now));
        if again {
            self.message.reconnects += 1;
        } else {
            self.message.joins += 1;
        }
    }

    /// Nothing is heard from the seat.
    pub fn lost(&mut self, now: Micros, seat: SeatId) {
        self.message.disconnects += 1;
        self.leave(now, seat);
    }

    /// The lost seat was heard again.
    pub fn heard(&mut self, now: Micros, seat: SeatId) {
        if let Some(visit) = self.visits.get_mut(usize::from(seat.0)) {
            self.message.reconnects += 1;
            visit.connected_since = visit.connected_since.or(Some(now));
        }
    }

    /// The seat is Gone.
    pub fn gone(&mut self, now: Micros, seat: SeatId) {
        self.leave(now, seat);
        if let Some(visit) = self.visits.get_mut(usize::from(seat.0)) {
            visit.is_gone = true;
        }
    }

    /// Whether anyone has ever come.
    pub fn anyone_came(&self) -> bool {
        self.visits.iter().any(|visit| visit.joined_ever)
    }

    /// Players who came and are not Gone. Lost ones may return.
    pub fn present(&self) -> usize {
        self.visits.iter().filter(|visit| visit.joined_ever && !visit.is_gone).count()
    }

    /// Whether each player played, in seat order.
    pub fn participation(&self) -> Vec<Participation> {
        let one = |visit: &Visit| match (visit.joined_ever, visit.is_gone) {
            (false, _) => Participation::Absent,
            (true, false) => Participation::Played,
            (true, true) => Participation::Abandoned,
        };
        self.visits.iter().map(one).collect()
    }

    /// The figures as the allocator gets them. `join_failures` are counted by the handshake worker.
    pub fn finish(&mut self, now: Micros, join_failures: u32) -> pb::MatchStats {
        for seat in 0..self.visits.len() {
            self.leave(now, crate::seats::seat_id(seat));
        }
        let mut tick_us = Vec::new();
        // Writing to memory cannot fail, and figures are worth less than a result.
        let _ = V2Serializer::new().serialize(&self.ticks, &mut tick_us);
        pb::MatchStats { tick_us, join_failures, ..self.message.clone() }
    }

    fn leave(&mut self, now: Micros, seat: SeatId) {
        let Some(visit) = self.visits.get_mut(usize::from(seat.0)) else { return };
        if let Some(since) = visit.connected_since.take() {
            self.message.client_ms += u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    const fn at_s(s: u64) -> Micros {
        Micros(s * 1_000_000)
    }

    #[test]
    fn the_time_of_clients_counts_only_while_they_are_connected() {
        let mut stats = Statistics::new(3, Duration::from_millis(10), at_s(0));
        let (one, two) = (SeatId(0), SeatId(1));
        stats.joined(at_s(1), one, false, Some(Carrier::Native));
        stats.joined(at_s(1), two, false, Some(Carrier::Native));
        stats.lost(at_s(3), one);
        stats.heard(at_s(5), one);
        stats.joined(at_s(6), one, true, Some(Carrier::Quic));
        stats.gone(at_s(6), two);
        assert_eq!((stats.present(), stats.anyone_came()), (1, true));
        let message = stats.finish(at_s(7), 4);
        // One: 1 to 3 and 5 to 7; two: 1 to 6.
        assert_eq!(message.client_ms, 9_000);
        assert_eq!((message.joins, message.disconnects, message.reconnects), (2, 1, 2));
        assert_eq!((message.udp_clients, message.quic_clients, message.join_failures), (2, 1, 4));
        let expected = [Participation::Played, Participation::Abandoned, Participation::Absent];
        assert_eq!(stats.participation(), expected);
    }

    #[test]
    fn the_histogram_travels_and_overruns_are_counted() {
        let mut stats = Statistics::new(1, Duration::from_millis(10), at_s(0));
        for ms in 1..=20 {
            assert_eq!(stats.tick(Duration::from_millis(ms), 100), ms > 10);
        }
        assert_eq!(stats.load_permille(at_s(1)), None);
        assert!(stats.load_permille(at_s(5)).is_some_and(|permille| (1_900..=2_100).contains(&permille)));
        let message = stats.finish(at_s(9), 0);
        assert_eq!((message.ticks, message.tick_overruns, message.snapshot_bytes), (20, 10, 2_000));
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut message.tick_us.as_slice()).expect("V2 bytes");
        assert_eq!(read.len(), 20);
        assert!(read.max().abs_diff(20_000) < 50, "{}", read.max());
    }
}
