//! The starving pass: whoever has waited too long picks its match first.
//!
//! Windows that must cover each other starve players at the edge of the population: near the middle everyone is
//! matched while still fresh and tolerant of little. So a starving ticket takes the nearest tickets that its own
//! window covers, whether theirs cover it or not; the queue's widest window still holds between any two.

use super::packing::Filling;
use super::search::{Members, Search};

/// Nearest tickets that a starving one chooses among, per region. More than the players of the largest match.
const NEAR_MAX: usize = 256;
/// Work of all fills of one pass together; one fill of a match of 8 takes about 10.
const WORK_MAX: u32 = 2_000_000;

impl Search<'_> {
    /// Matches for those who starve, oldest first.
    pub(super) fn starving(&mut self) {
        let mut starving: Vec<usize> = (0..self.candidates.len()).filter(|p| self.candidates[*p].starving).collect();
        starving.sort_by_key(|place| (self.candidates[*place].waiting.created_ms, *place));
        let mut work = WORK_MAX;
        for anchor in starving {
            if self.is_full() || work == 0 {
                return;
            }
            if !self.is_taken(anchor)
                && let Some(members) = self.around(anchor, &mut work)
            {
                self.take(members);
            }
        }
    }

    /// A match around `anchor`, in the region that is nearest to it if there is one.
    fn around(&mut self, anchor: usize, work: &mut u32) -> Option<Members> {
        let candidate = &self.candidates[anchor];
        let mut lanes: Vec<usize> =
            (0..self.lanes.len()).filter(|lane| candidate.regions & 1 << self.lanes[*lane].region() != 0).collect();
        lanes.sort_by_key(|lane| candidate.waiting.rtts.get(self.lanes[*lane].region() as usize).copied());
        for lane in lanes {
            let near = self.nearest(anchor, lane);
            for (low, high) in self.ranges(anchor, &near) {
                let within = |place: &usize| (low..=high).contains(&self.candidates[*place].rating());
                let near: Vec<usize> = near.iter().copied().filter(within).collect();
                let mut filling = Filling::default();
                filling.add(self.candidates[anchor].waiting.size);
                let mut members = vec![anchor];
                if self.fill(&near, &mut filling, &mut members, work) {
                    return Some(members);
                }
            }
        }
        None
    }

    /// The nearest unmatched candidates of a lane within the anchor's window, nearest first.
    fn nearest(&self, anchor: usize, lane: usize) -> Vec<usize> {
        let (lane, centre) = (&self.lanes[lane], &self.candidates[anchor]);
        let far = |place: &usize| (self.candidates[*place].rating() - centre.rating()).abs();
        let (mut up, mut down) = (lane.after(anchor), lane.before(anchor));
        let mut near = Vec::new();
        while near.len() < NEAR_MAX {
            let upwards = match (&up, &down) {
                (Some(above), Some(below)) => far(above) <= far(below),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let next = if upwards { &mut up } else { &mut down };
            let Some(place) = *next else { break };
            if far(&place) > centre.window {
                break;
            }
            *next = if upwards { lane.after(place) } else { lane.before(place) };
            near.push(place);
        }
        near
    }

    /// Ranges of rating around the anchor that are no wider than the widest window, best first: the range of the
    /// nearest ones, then every range that begins with one of them.
    fn ranges(&self, anchor: usize, near: &[usize]) -> Vec<(f64, f64)> {
        let centre = self.candidates[anchor].rating();
        let (mut low, mut high) = (centre, centre);
        let mut whole = true;
        for place in near {
            let rating = self.candidates[*place].rating();
            let (lower, higher) = (low.min(rating), high.max(rating));
            if higher - lower <= self.window_max {
                (low, high) = (lower, higher);
            } else {
                whole = false;
            }
        }
        let mut ranges = vec![(low, high)];
        if !whole {
            let below = near.iter().map(|place| self.candidates[*place].rating()).filter(|rating| *rating <= centre);
            ranges.extend(below.chain([centre]).map(|low| (low, low + self.window_max)));
        }
        ranges
    }

    /// Adds tickets of `near` until the match is full, nearer ones first; false if that is not possible.
    fn fill(&mut self, near: &[usize], filling: &mut Filling, members: &mut Members, work: &mut u32) -> bool {
        if filling.players() == self.players {
            return true;
        }
        let mut left: u32 = near.iter().map(|place| self.candidates[*place].waiting.size).sum();
        let mut tried: Vec<u32> = Vec::new();
        for (n, place) in near.iter().enumerate() {
            let size = self.candidates[*place].waiting.size;
            *work = work.saturating_sub(1);
            if *work == 0 || filling.players() + left < self.players {
                return false;
            }
            left -= size;
            // What failed with a nearer ticket of this size fails with this one too: it leaves less to choose from.
            if tried.contains(&size) || !self.packing.fits(filling, size) {
                continue;
            }
            filling.add(size);
            members.push(*place);
            if self.fill(&near[n + 1..], filling, members, work) {
                return true;
            }
            members.pop();
            filling.remove(size);
            tried.push(size);
        }
        false
    }
}
