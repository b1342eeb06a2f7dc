//! The regions that suit everyone in a match.

use super::pool::NO_RTT;

/// What one ticket says about regions.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    /// Round-trip time in milliseconds per region, [`NO_RTT`] where it does not play.
    pub rtts: &'a [u32],
    /// Longest round-trip time that it accepts now, in milliseconds.
    pub limit_ms: u32,
}

impl Reach<'_> {
    /// Whether it accepts a region.
    pub fn accepts(&self, region: usize) -> bool {
        self.rtts.get(region).is_some_and(|rtt| *rtt != NO_RTT && *rtt <= self.limit_ms)
    }

    /// The regions that it accepts, as bits.
    pub fn mask(&self) -> u32 {
        (0..self.rtts.len()).filter(|region| self.accepts(*region)).fold(0, |mask, region| mask | 1 << region)
    }
}

/// The regions that all accept, best first: smallest worst round-trip time, then smallest mean, then the queue's order.
pub fn rank(members: &[Reach<'_>]) -> Vec<usize> {
    let mask = members.iter().fold(u32::MAX, |mask, member| mask & member.mask());
    let regions = members.first().map_or(0, |member| member.rtts.len());
    let cost = |region: usize| {
        let rtts = || members.iter().map(|member| u64::from(member.rtts[region]));
        (rtts().max(), rtts().sum::<u64>(), region)
    };
    let mut ranked: Vec<usize> = (0..regions).filter(|region| mask & 1 << region != 0).collect();
    ranked.sort_by_key(|region| cost(*region));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_with_the_smallest_worst_time_comes_first_and_unsuitable_ones_not_at_all() {
        let check = |limit_ms: u32, rows: &[&[u32]], expected: &[usize]| {
            let members: Vec<Reach<'_>> = rows.iter().map(|rtts| Reach { rtts, limit_ms }).collect();
            assert_eq!(rank(&members), expected, "limit {limit_ms}, {rows:?}");
        };
        check(100, &[&[20, 60], &[90, 70]], &[1, 0]);
        check(80, &[&[20, 60], &[90, 70]], &[1]);
        check(60, &[&[20, 60], &[90, 70]], &[]);
        check(100, &[&[50, 50, 50], &[10, 50, 9]], &[2, 0, 1]);
        check(u32::MAX, &[&[NO_RTT, 1], &[1, 1]], &[1]);
        check(100, &[&[], &[]], &[]);
    }
}
