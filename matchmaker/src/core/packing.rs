//! Whether parties can be seated whole: tickets into teams of a fixed size, nobody torn apart.

use std::collections::HashMap;

/// Nodes of one search for a seating; beyond that the parties count as not seatable.
const NODES_MAX: u32 = 20_000;
/// Answers that are remembered.
const MEMO_MAX: usize = 50_000;

/// Teams and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Teams.
    pub teams: u32,
    /// Players per team.
    pub team_size: u32,
}

impl Shape {
    /// Players of a full match.
    pub fn players(self) -> u32 {
        self.teams * self.team_size
    }
}

/// A team for each ticket of these sizes, so that no team holds more than its size; `None` if there is none (or none
/// was found within the bound on work, which takes shapes that no queue has).
pub fn seat(shape: Shape, sizes: &[u32]) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|item| std::cmp::Reverse(sizes[*item]));
    let mut seating = Seating {
        sizes,
        order,
        free: vec![shape.team_size; shape.teams as usize],
        teams: vec![0; sizes.len()],
        nodes: NODES_MAX,
    };
    if sizes.iter().sum::<u32>() > shape.players() || !seating.place(0) {
        return None;
    }
    Some(seating.teams)
}

struct Seating<'a> {
    sizes: &'a [u32],
    /// Tickets, largest first.
    order: Vec<usize>,
    free: Vec<u32>,
    teams: Vec<usize>,
    nodes: u32,
}

impl Seating<'_> {
    fn place(&mut self, depth: usize) -> bool {
        let Some(item) = self.order.get(depth).copied() else {
            return true;
        };
        self.nodes = self.nodes.saturating_sub(1);
        if self.nodes == 0 {
            return false;
        }
        let size = self.sizes[item];
        let mut tried = Vec::new();
        // The fullest team that has room first; of equally full teams one is enough.
        let mut teams: Vec<usize> = (0..self.free.len()).filter(|team| self.free[*team] >= size).collect();
        teams.sort_by_key(|team| self.free[*team]);
        for team in teams {
            let free = self.free[team];
            if tried.contains(&free) {
                continue;
            }
            tried.push(free);
            self.free[team] -= size;
            self.teams[item] = team;
            if self.place(depth + 1) {
                return true;
            }
            self.free[team] += size;
        }
        false
    }
}

/// Answers "can these be seated" for one shape and remembers the answers.
#[derive(Debug)]
pub struct Packing {
    shape: Shape,
    /// By the sizes of the parties, sorted; lone players fill any gap and do not count.
    memo: HashMap<Vec<u32>, bool>,
}

impl Packing {
    /// For matches of this shape.
    pub fn new(shape: Shape) -> Self {
        Self { shape, memo: HashMap::new() }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether a ticket of `size` fits beside those that are in `filling`.
    pub fn fits(&mut self, filling: &Filling, size: u32) -> bool {
        if size == 0 || filling.players + size > self.shape.players() {
            return false;
        }
        if size == 1 {
            return true;
        }
        let mut parties = filling.parties.clone();
        insert_sorted(&mut parties, size);
        if let Some(known) = self.memo.get(&parties) {
            return *known;
        }
        let fits = seat(self.shape, &parties).is_some();
        if self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        self.memo.insert(parties, fits);
        fits
    }
}

/// The sizes of the tickets of a match in the making.
#[derive(Debug, Clone, Default)]
pub struct Filling {
    players: u32,
    /// Sizes of 2 and more, sorted.
    parties: Vec<u32>,
}

impl Filling {
    /// Players so far.
    pub fn players(&self) -> u32 {
        self.players
    }

    /// Adds a ticket that fits.
    pub fn add(&mut self, size: u32) {
        self.players += size;
        if size > 1 {
            insert_sorted(&mut self.parties, size);
        }
    }

    /// Takes a ticket of this size out again.
    pub fn remove(&mut self, size: u32) {
        self.players -= size;
        if size > 1
            && let Ok(place) = self.parties.binary_search(&size)
        {
            self.parties.remove(place);
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.players = 0;
        self.parties.clear();
    }
}

fn insert_sorted(sizes: &mut Vec<u32>, size: u32) {
    let place = sizes.partition_point(|other| *other < size);
    sizes.insert(place, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_seated_whole_or_not_at_all() {
        let check = |teams: u32, team_size: u32, sizes: &[u32], expected: bool| {
            let shape = Shape { teams, team_size };
            let seated = seat(shape, sizes);
            assert_eq!(seated.is_some(), expected, "{sizes:?} into {teams} teams of {team_size}");
            for team in 0..teams as usize {
                let of_team = seated.iter().flatten().zip(sizes).filter(|(of, _)| **of == team);
                assert!(of_team.map(|(_, size)| size).sum::<u32>() <= team_size);
            }
        };
        check(2, 4, &[3, 3, 1, 1], true);
        check(2, 4, &[3, 3, 2], false);
        check(2, 5, &[4, 3, 2, 1], true);
        check(2, 5, &[3, 3, 2, 2], true);
        check(2, 5, &[4, 4, 2], false);
        check(3, 4, &[3, 3, 3], true);
        check(3, 4, &[2; 6], true);
        check(3, 4, &[3, 3, 3, 2], false);
        check(16, 1, &[1; 16], true);
        check(2, 4, &[1; 9], false);
    }

    #[test]
    fn filling_up_never_goes_where_there_is_no_way_on() {
        let mut packing = Packing::new(Shape { teams: 2, team_size: 4 });
        let mut filling = Filling::default();
        for (size, fits) in [(3, true), (3, true), (2, false), (1, true), (1, true), (1, false)] {
            assert_eq!(packing.fits(&filling, size), fits, "{size} beside {filling:?}");
            if fits {
                filling.add(size);
            }
        }
        assert_eq!(filling.players(), 8);
        filling.remove(3);
        assert!(packing.fits(&filling, 3) && packing.fits(&filling, 2));
    }
}
