//! Cuts the tickets of a match into full teams that keep parties whole and differ in rating as little as possible.
//!
//! Up to [`EXACT_MAX`] players the best cut is found: team by team, dropping what cannot beat the best so far. Above
//! that, tickets go largest rating first to the weakest team that has a seat of their size (LPT), then tickets of one
//! size change places for as long as that evens the teams out.

use super::packing::{Shape, seat};

/// Most players for whom the best cut is searched.
pub const EXACT_MAX: u32 = 16;
/// Nodes of the exact search; 16 lone players in 4 teams take about a tenth of it.
const NODES_MAX: u32 = 400_000;
/// Rounds of changing places.
const SWAP_ROUNDS: usize = 64;

/// A ticket to be put into a team.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seat {
    /// Players.
    pub size: u32,
    /// Sum of their ratings.
    pub rating_sum: f64,
}

/// The team of each ticket, from 0; `None` if they do not fill the shape exactly or no whole seating exists.
pub fn split(shape: Shape, tickets: &[Seat]) -> Option<Vec<u32>> {
    let sizes: Vec<u32> = tickets.iter().map(|ticket| ticket.size).collect();
    if sizes.iter().sum::<u32>() != shape.players() || sizes.contains(&0) {
        return None;
    }
    let mut teams = longest_first(shape, tickets, &seat(shape, &sizes)?);
    change_places(shape, tickets, &mut teams);
    if shape.players() <= EXACT_MAX {
        teams = Exact::new(shape, tickets, teams).run();
    }
    Some(teams.into_iter().map(|team| u32::try_from(team).expect("teams are few")).collect())
}

/// Difference between the strongest and the weakest team, as sums of ratings.
pub fn spread(teams_total: u32, tickets: &[Seat], teams: &[u32]) -> f64 {
    let mut sums = vec![0.0; teams_total as usize];
    for (ticket, team) in tickets.iter().zip(teams) {
        sums[*team as usize] += ticket.rating_sum;
    }
    range(&sums)
}

fn range(sums: &[f64]) -> f64 {
    let high = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = sums.iter().copied().fold(f64::INFINITY, f64::min);
    high - low
}

/// Deals the seats of `seating` out again: largest rating first, each to the weakest team with a seat of that size.
fn longest_first(shape: Shape, tickets: &[Seat], seating: &[usize]) -> Vec<usize> {
    let mut seats: Vec<(usize, u32)> = seating.iter().zip(tickets).map(|(team, of)| (*team, of.size)).collect();
    let mut order: Vec<usize> = (0..tickets.len()).collect();
    order.sort_by(|a, b| tickets[*b].rating_sum.total_cmp(&tickets[*a].rating_sum).then(a.cmp(b)));
    let mut sums = vec![0.0; shape.teams as usize];
    let mut teams = vec![0; tickets.len()];
    for item in order {
        let ticket = tickets[item];
        let fitting = seats.iter().enumerate().filter(|(_, (_, size))| *size == ticket.size);
        let weakest = fitting.min_by(|(_, (a, _)), (_, (b, _))| f64::total_cmp(&sums[*a], &sums[*b]).then(a.cmp(b)));
        let (place, (team, _)) = weakest.expect("there are as many seats of each size as tickets");
        let team = *team;
        seats.swap_remove(place);
        sums[team] += ticket.rating_sum;
        teams[item] = team;
    }
    teams
}

/// Swaps tickets of one size between teams while the squares of the teams' sums shrink.
fn change_places(shape: Shape, tickets: &[Seat], teams: &mut [usize]) {
    let mut sums = vec![0.0; shape.teams as usize];
    for (ticket, team) in tickets.iter().zip(teams.iter()) {
        sums[*team] += ticket.rating_sum;
    }
    for _ in 0..SWAP_ROUNDS {
        let mut changed = false;
        for a in 0..tickets.len() {
            for b in a + 1..tickets.len() {
                let (of_a, of_b) = (teams[a], teams[b]);
                let moved = tickets[a].rating_sum - tickets[b].rating_sum;
                // (sum_a − m)² + (sum_b + m)² against sum_a² + sum_b²
                let gain = moved * (sums[of_a] - sums[of_b] - moved);
                if of_a != of_b && tickets[a].size == tickets[b].size && gain > 1e-9 {
                    sums[of_a] -= moved;
                    sums[of_b] += moved;
                    teams.swap(a, b);
                    changed = true;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// Team by team, each beginning with the first ticket that has none: so no cut is looked at twice.
struct Exact<'a> {
    shape: Shape,
    tickets: &'a [Seat],
    mean: f64,
    teams: Vec<Option<usize>>,
    sums: Vec<f64>,
    best: Vec<usize>,
    best_range: f64,
    nodes: u32,
}

impl<'a> Exact<'a> {
    fn new(shape: Shape, tickets: &'a [Seat], start: Vec<usize>) -> Self {
        let mut sums = vec![0.0; shape.teams as usize];
        for (ticket, team) in tickets.iter().zip(&start) {
            sums[*team] += ticket.rating_sum;
        }
        Self {
            shape,
            tickets,
            mean: sums.iter().sum::<f64>() / f64::from(shape.teams),
            teams: vec![None; tickets.len()],
            best_range: range(&sums),
            sums: Vec::new(),
            best: start,
            nodes: NODES_MAX,
        }
    }

    fn run(mut self) -> Vec<usize> {
        self.next_team();
        self.best
    }

    fn next_team(&mut self) {
        let Some(first) = self.teams.iter().position(Option::is_none) else {
            let range = range(&self.sums);
            if range < self.best_range - 1e-9 {
                self.best_range = range;
                self.best = self.teams.iter().map(|team| team.expect("all have a team")).collect();
            }
            return;
        };
        let team = self.sums.len();
        self.teams[first] = Some(team);
        let ticket = self.tickets[first];
        self.fill(first + 1, self.shape.team_size - ticket.size, ticket.rating_sum);
        self.teams[first] = None;
    }

    /// Fills the newest team's `room` seats with tickets from `from` on.
    fn fill(&mut self, from: usize, room: u32, sum: f64) {
        self.nodes = self.nodes.saturating_sub(1);
        if self.nodes == 0 {
            return;
        }
        if room == 0 {
            self.sums.push(sum);
            if self.could_win() {
                self.next_team();
            }
            self.sums.pop();
            return;
        }
        let team = self.sums.len();
        for item in from..self.tickets.len() {
            let ticket = self.tickets[item];
            if self.teams[item].is_some() || ticket.size > room {
                continue;
            }
            self.teams[item] = Some(team);
            self.fill(item + 1, room - ticket.size, sum + ticket.rating_sum);
            self.teams[item] = None;
        }
    }

    /// Whether the full teams leave a chance to beat the best cut: some other team is at least as far on the other
    /// side of the mean as the rest must make up for.
    fn could_win(&self) -> bool {
        let teams = f64::from(self.shape.teams);
        let least = self.sums.iter().map(|sum| (sum - self.mean).abs() * teams / (teams - 1.0).max(1.0));
        least.chain([range(&self.sums)]).all(|bound| bound < self.best_range - 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lone(ratings: &[f64]) -> Vec<Seat> {
        ratings.iter().map(|rating| Seat { size: 1, rating_sum: *rating }).collect()
    }

    /// Every assignment, tried one after another.
    fn brute_force(shape: Shape, tickets: &[Seat]) -> Option<f64> {
        let mut best = None;
        for code in 0..u64::from(shape.teams).pow(u32::try_from(tickets.len()).expect("few")) {
            let digit = |n: u32| (code / u64::from(shape.teams).pow(n) % u64::from(shape.teams)) as u32;
            let teams: Vec<u32> = (0..tickets.len() as u32).map(digit).collect();
            if is_whole(shape, tickets, &teams) {
                let spread = spread(shape.teams, tickets, &teams);
                best = Some(best.map_or(spread, |best: f64| best.min(spread)));
            }
        }
        best
    }

    fn is_whole(shape: Shape, tickets: &[Seat], teams: &[u32]) -> bool {
        let size = |team| tickets.iter().zip(teams).filter(|(_, of)| **of == team).map(|(t, _)| t.size).sum::<u32>();
        (0..shape.teams).all(|team| size(team) == shape.team_size)
    }

    #[test]
    fn a_table_of_cuts() {
        let check = |teams, team_size, tickets: &[Seat], expected: Option<f64>| {
            let shape = Shape { teams, team_size };
            let cut = split(shape, tickets);
            assert_eq!(cut.as_ref().map(|cut| spread(teams, tickets, cut)), expected, "{tickets:?}");
            assert!(cut.is_none_or(|cut| is_whole(shape, tickets, &cut)));
        };
        check(2, 2, &lone(&[1.0, 2.0, 3.0, 4.0]), Some(0.0));
        check(2, 1, &lone(&[1.0, 9.0]), Some(8.0));
        check(1, 3, &lone(&[1.0, 9.0, 4.0]), Some(0.0));
        check(4, 1, &lone(&[1.0, 2.0, 3.0, 9.0]), Some(8.0));
        // The party of two stays whole, even though apart they would be even.
        let party =
            [Seat { size: 2, rating_sum: 20.0 }, Seat { size: 1, rating_sum: 0.0 }, Seat { size: 1, rating_sum: 0.0 }];
        check(2, 2, &party, Some(20.0));
        check(2, 2, &lone(&[1.0, 2.0, 3.0]), None);
        check(2, 2, &[Seat { size: 3, rating_sum: 1.0 }, Seat { size: 1, rating_sum: 1.0 }], None);
        check(2, 2, &[Seat { size: 0, rating_sum: 1.0 }, Seat { size: 4, rating_sum: 1.0 }], None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_cut_is_the_best_there_is(
            teams in 2u32..4, team_size in 1u32..5, parties in proptest::collection::vec((1u32..5, 0.0..50.0f64), 1..9),
        ) {
            let shape = Shape { teams, team_size };
            let mut room = shape.players();
            let mut tickets: Vec<Seat> = Vec::new();
            for (size, rating) in parties {
                let size = size.min(team_size).min(room);
                if size > 0 {
                    room -= size;
                    tickets.push(Seat { size, rating_sum: rating * f64::from(size) });
                }
            }
            prop_assume!(room == 0);
            let found = split(shape, &tickets);
            let expected = brute_force(shape, &tickets);
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(found), Some(expected)) = (found, expected) {
                prop_assert!(is_whole(shape, &tickets, &found));
                prop_assert!((spread(teams, &tickets, &found) - expected).abs() < 1e-6);
            }
        }

        #[test]
        fn large_matches_are_whole_and_nearly_even(ratings in proptest::collection::vec(10.0..40.0f64, 64)) {
            let tickets = lone(&ratings);
            let shape = Shape { teams: 2, team_size: 32 };
            let cut = split(shape, &tickets).expect("lone players always fit");
            prop_assert!(is_whole(shape, &tickets, &cut));
            prop_assert!(spread(2, &tickets, &cut) < 2.0);
        }
    }
}
