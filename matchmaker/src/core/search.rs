//! Finds matches among the waiting tickets of one queue and build.
//!
//! 1. Whoever starves picks first, oldest first: the nearest tickets by rating within its own window, whose windows
//!    then count as widest (in [`super::starving`]).
//! 2. Everyone else by best fit: for each ticket as the lowest of a match, the next ones upwards whose windows cover
//!    each other until the match is full; the tightest of all these offers is taken first, and what it leaves is
//!    searched again.
//!
//! Both work region by region on [`Lane`]s, so that all members of a match accept a common region. A match is full,
//! keeps parties whole, and never spans more than the window of any member (widest for those whom a starving ticket
//! picked).

use super::packing::{Filling, Packing};
use super::window::Candidate;

/// Rounds of offers; what is left after them waits for the next pass.
const ROUNDS_MAX: usize = 8;

/// A match: its members' places among the candidates, by rating.
pub type Members = Vec<usize>;

/// The matches among `candidates`, which are sorted by rating; at most `matches_max`. `window_max` is the widest
/// rating window of the queue.
pub fn search(
    candidates: &[Candidate<'_>],
    window_max: f64,
    packing: &mut Packing,
    matches_max: usize,
) -> Vec<Members> {
    let mut search = Search::new(candidates, window_max, packing, matches_max);
    search.starving();
    search.best_fit();
    search.found
}

/// The unmatched candidates that accept one region, linked in order of rating.
#[derive(Debug)]
pub struct Lane {
    region: u32,
    next: Vec<u32>,
    prev: Vec<u32>,
    players: u32,
}

/// End of a lane.
const END: u32 = u32::MAX;

impl Lane {
    fn new(region: u32, candidates: &[Candidate<'_>]) -> Self {
        let end = candidates.len();
        // The place after the last candidate is the lane's head.
        let (mut next, mut prev) = (vec![END; end + 1], vec![END; end + 1]);
        let (mut last, mut players) = (end, 0);
        for (place, candidate) in candidates.iter().enumerate() {
            if candidate.regions & 1 << region != 0 {
                next[last] = place as u32;
                prev[place] = if last == end { END } else { last as u32 };
                last = place;
                players += candidate.waiting.size;
            }
        }
        Self { region, next, prev, players }
    }

    /// Its region.
    pub fn region(&self) -> u32 {
        self.region
    }

    fn first(&self) -> Option<usize> {
        self.after(self.next.len() - 1)
    }

    /// The next one upwards.
    pub fn after(&self, place: usize) -> Option<usize> {
        Some(self.next[place]).filter(|next| *next != END).map(|next| next as usize)
    }

    /// The next one downwards.
    pub fn before(&self, place: usize) -> Option<usize> {
        Some(self.prev[place]).filter(|prev| *prev != END).map(|prev| prev as usize)
    }

    fn remove(&mut self, place: usize, size: u32) {
        let head = (self.next.len() - 1) as u32;
        let (prev, next) = (self.prev[place], self.next[place]);
        self.next[if prev == END { head } else { prev } as usize] = next;
        if next != END {
            self.prev[next as usize] = prev;
        }
        self.players -= size;
    }
}

/// A search in progress.
#[derive(Debug)]
pub struct Search<'a> {
    pub(super) candidates: &'a [Candidate<'a>],
    pub(super) window_max: f64,
    pub(super) packing: &'a mut Packing,
    pub(super) players: u32,
    pub(super) lanes: Vec<Lane>,
    taken: Vec<bool>,
    matches_max: usize,
    found: Vec<Members>,
}

/// A possible match, its members in the common buffer of a round.
struct Offer {
    /// Share of the tolerance that it uses up; 0 is perfect.
    cost: f64,
    oldest_ms: u64,
    start: usize,
    end: usize,
}

impl<'a> Search<'a> {
    fn new(candidates: &'a [Candidate<'a>], window_max: f64, packing: &'a mut Packing, matches_max: usize) -> Self {
        let regions = candidates.iter().fold(0, |mask, candidate| mask | candidate.regions);
        let lanes = (0..u32::BITS).filter(|region| regions & 1 << region != 0);
        let lanes = lanes.map(|region| Lane::new(region, candidates)).collect();
        Self {
            candidates,
            window_max,
            players: packing.shape().players(),
            packing,
            lanes,
            taken: vec![false; candidates.len()],
            matches_max,
            found: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= self.matches_max
    }

    pub(super) fn is_taken(&self, place: usize) -> bool {
        self.taken[place]
    }

    pub(super) fn take(&mut self, mut members: Members) {
        members.sort_unstable();
        for &place in &members {
            self.taken[place] = true;
            let candidate = &self.candidates[place];
            for lane in self.lanes.iter_mut().filter(|lane| candidate.regions & 1 << lane.region != 0) {
                lane.remove(place, candidate.waiting.size);
            }
        }
        self.found.push(members);
    }

    fn best_fit(&mut self) {
        let mut buffer = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let mut offers = self.offers(&mut buffer);
            let order = |a: &Offer, b: &Offer| {
                a.cost.total_cmp(&b.cost).then(a.oldest_ms.cmp(&b.oldest_ms)).then(a.start.cmp(&b.start))
            };
            offers.sort_unstable_by(order);
            let before = self.found.len();
            for offer in offers {
                let members = &buffer[offer.start..offer.end];
                if self.is_full() {
                    return;
                }
                if members.iter().all(|place| !self.taken[*place]) {
                    self.take(members.to_vec());
                }
            }
            if self.found.len() == before {
                return;
            }
        }
    }

    /// One offer per lane and ticket that can be the lowest of a match.
    fn offers(&mut self, buffer: &mut Vec<usize>) -> Vec<Offer> {
        buffer.clear();
        let mut offers = Vec::new();
        let mut members = Vec::new();
        let mut filling = Filling::default();
        for lane in &self.lanes {
            if lane.players < self.players {
                continue;
            }
            let mut lowest = lane.first();
            while let Some(place) = lowest {
                if upwards(self.candidates, lane, place, self.packing, &mut filling, &mut members) {
                    let start = buffer.len();
                    buffer.extend_from_slice(&members);
                    offers.push(self.offer(lane, &members, start));
                }
                lowest = lane.after(place);
            }
        }
        offers
    }

    fn offer(&self, lane: &Lane, members: &[usize], start: usize) -> Offer {
        let of = || members.iter().map(|place| &self.candidates[*place]);
        let spread = of().map(Candidate::rating).fold(f64::NEG_INFINITY, f64::max)
            - of().map(Candidate::rating).fold(f64::INFINITY, f64::min);
        let narrowest = of().map(|member| member.window).fold(f64::INFINITY, f64::min);
        let far = of().filter_map(|member| {
            let rtt = member.waiting.rtts.get(lane.region as usize)?;
            Some(f64::from(*rtt) / f64::from(member.rtt_limit_ms.max(1)))
        });
        let used = if spread > 0.0 { spread / narrowest } else { 0.0 };
        let cost = used + far.fold(0.0, f64::max);
        let oldest_ms = of().map(|member| member.waiting.created_ms).min().unwrap_or(0);
        Offer { cost, oldest_ms, start, end: start + members.len() }
    }
}

/// Fills `members` with a match whose lowest is `lowest`; false if there is none. For lone players this is the match
/// of the smallest spread: a member that does not reach the next one reaches none after it, and is dropped.
fn upwards(
    candidates: &[Candidate<'_>],
    lane: &Lane,
    lowest: usize,
    packing: &mut Packing,
    filling: &mut Filling,
    members: &mut Vec<usize>,
) -> bool {
    let players = packing.shape().players();
    // Enough to pass over parties that do not fit, and a bound on the work per ticket.
    let mut looks = 8 * players + 32;
    members.clear();
    filling.clear();
    members.push(lowest);
    let anchor = &candidates[lowest];
    filling.add(anchor.waiting.size);
    let mut reach = anchor.rating() + anchor.window;
    let mut place = lowest;
    while filling.players() < players {
        let Some(next) = lane.after(place).filter(|_| looks > 0) else {
            return false;
        };
        looks -= 1;
        place = next;
        let candidate = &candidates[place];
        let (rating, span) = (candidate.rating(), candidate.rating() - anchor.rating());
        if span > anchor.window {
            return false;
        }
        if rating > reach {
            let reaches = |member: &usize| rating - candidates[*member].rating() <= candidates[*member].window;
            members.retain(|member| {
                let stays = reaches(member);
                if !stays {
                    filling.remove(candidates[*member].waiting.size);
                }
                stays
            });
            reach =
                members.iter().map(|m| candidates[*m].rating() + candidates[*m].window).fold(f64::INFINITY, f64::min);
        }
        if span <= candidate.window && packing.fits(filling, candidate.waiting.size) {
            members.push(place);
            filling.add(candidate.waiting.size);
            reach = reach.min(rating + candidate.window);
        }
    }
    true
}
