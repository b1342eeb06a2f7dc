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
    /// By the parties' [`Filling::code`].
    memo: HashMap<u128, bool>,
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
        if size == 0 || size > self.shape.team_size || filling.players + size > self.shape.players() {
            return false;
        }
        // Lone players fill any gap, and the first ticket fits anywhere.
        if size == 1 || filling.parties.is_empty() {
            return true;
        }
        let code = filling.code_with(size);
        if let Some(known) = code.and_then(|code| self.memo.get(&code)) {
            return *known;
        }
        let mut parties = filling.parties.clone();
        parties.push(size);
        let fits = seat(self.shape, &parties).is_some();
        if let Some(code) = code {
            if self.memo.len() >= MEMO_MAX {
                self.memo.clear();
            }
            self.memo.insert(code, fits);
        }
        fits
    }
}

/// Largest party that has a digit in a [`Filling::code`].
const CODED_MAX: u32 = 17;

/// The sizes of the tickets of a match in the making.
#[derive(Debug, Clone, Default)]
pub struct Filling {
    players: u32,
    /// Sizes of 2 and more.
    parties: Vec<u32>,
    /// How many parties there are of each size from 2 to [`CODED_MAX`]: 8 bits each, since 128 players make at most
    /// 64 parties.
    code: u128,
    /// Parties larger than [`CODED_MAX`].
    uncoded: u32,
}

fn digit(size: u32) -> Option<u128> {
    (2..=CODED_MAX).contains(&size).then(|| 1 << (8 * (size - 2)))
}

impl Filling {
    /// Players so far.
    pub fn players(&self) -> u32 {
        self.players
    }

    /// The parties and one more as a number that no other parties have; `None` if one is too large for that.
    fn code_with(&self, size: u32) -> Option<u128> {
        digit(size).filter(|_| self.uncoded == 0).map(|digit| self.code + digit)
    }

    /// Adds a ticket that fits.
    pub fn add(&mut self, size: u32) {
        self.players += size;
        if size > 1 {
            self.parties.push(size);
            match digit(size) {
                Some(digit) => self.code += digit,
                None => self.uncoded += 1,
            }
        }
    }

    /// Takes a ticket of this size out again.
    pub fn remove(&mut self, size: u32) {
        self.players -= size;
        if let Some(place) = self.parties.iter().rposition(|party| *party == size) {
            self.parties.swap_remove(place);
            match digit(size) {
                Some(digit) => self.code -= digit,
                None => self.uncoded -= 1,
            }
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.players = 0;
        self.parties.clear();
        (self.code, self.uncoded) = (0, 0);
    }
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
        assert!(packing.fits(&filling, 3) && !packing.fits(&filling, 4));
    }

    #[test]
    fn parties_too_large_to_be_remembered_are_seated_all_the_same() {
        let mut packing = Packing::new(Shape { teams: 2, team_size: 40 });
        let mut filling = Filling::default();
        for (size, fits) in [(30, true), (30, true), (20, false), (10, true), (11, false), (10, true), (1, false)] {
            assert_eq!(packing.fits(&filling, size), fits, "{size} beside {filling:?}");
            if fits {
                filling.add(size);
            }
        }
        filling.remove(30);
        assert!(packing.fits(&filling, 30) && !packing.fits(&filling, 31));
    }
}
