//! Makes a match's map from its seed. Each map looks the same from all four corners, so no team has the better side.

use crate::map::{Cell, Map, SIDE_MAX, SIDE_MIN, Spawn, Supply};
use crate::random::Random;

/// Side of the free square in each corner where players enter, in cells.
const CORNER_SIDE: u8 = 5;
/// Longest side of an obstacle in cells.
const OBSTACLE_SIDE_MAX: u32 = 4;
/// Drawings before an empty square is taken: of 10,000 seeds none needs more than five.
const ATTEMPTS: u32 = 32;

/// The map of a seed for this many players; more players get a larger one.
pub fn generate(seed: u64, players: usize) -> Map {
    let side = match players {
        0..=4 => SIDE_MIN,
        5..=8 => 32,
        _ => SIDE_MAX,
    };
    let mut random = Random::new(seed);
    let open = Drawing::new(side);
    for _ in 0..ATTEMPTS {
        let mut drawing = open.clone();
        drawing.add_obstacles(&mut random);
        if drawing.is_connected() {
            return drawing.finish();
        }
    }
    open.finish()
}

#[derive(Clone)]
struct Drawing {
    side: u8,
    solid: Vec<bool>,
}

impl Drawing {
    /// The walled square without obstacles.
    fn new(side: u8) -> Self {
        let mut drawing = Self { side, solid: vec![false; usize::from(side) * usize::from(side)] };
        for i in 0..side {
            drawing.fill(Cell { x: i, y: 0 });
        }
        drawing
    }

    /// Makes the cell and its three images under quarter turns wall.
    fn fill(&mut self, cell: Cell) {
        for image in self.images(cell) {
            let index = self.index(image);
            self.solid[index] = true;
        }
    }

    fn index(&self, cell: Cell) -> usize {
        usize::from(cell.y) * usize::from(self.side) + usize::from(cell.x)
    }

    /// The cell turned about the map's middle by 0 to 3 quarters, counter-clockwise.
    fn images(&self, cell: Cell) -> [Cell; 4] {
        let turned = |cell: Cell| Cell { x: self.side - 1 - cell.y, y: cell.x };
        let (first, second) = (turned(cell), turned(turned(cell)));
        [cell, first, second, turned(second)]
    }

    fn add_obstacles(&mut self, random: &mut Random) {
        let count = u32::from(self.side) * u32::from(self.side) / 150;
        for _ in 0..count {
            let width = 1 + random.below(OBSTACLE_SIDE_MAX) as u8;
            let height = 1 + random.below(OBSTACLE_SIDE_MAX) as u8;
            let left = 2 + random.below(u32::from(self.side - 3 - width)) as u8;
            let below = 2 + random.below(u32::from(self.side - 3 - height)) as u8;
            for x in left..left + width {
                for y in below..below + height {
                    let cell = Cell { x, y };
                    if !self.is_reserved(cell) {
                        self.fill(cell);
                    }
                }
            }
        }
    }

    /// Corners and pickups stay free.
    fn is_reserved(&self, cell: Cell) -> bool {
        let supplies = self.supplies();
        self.images(cell).into_iter().any(|image| {
            (image.x <= CORNER_SIDE && image.y <= CORNER_SIDE) || supplies.iter().any(|(_, taken)| *taken == image)
        })
    }

    /// Pickups of the lower left quarter: health by the middle of the lower side, rounds on the diagonal, rockets
    /// around the centre, where taking them is dangerous.
    fn supplies(&self) -> [(Supply, Cell); 3] {
        let (quarter, half) = (self.side / 4, self.side / 2);
        [
            (Supply::Health, Cell { x: half, y: 3 }),
            (Supply::Rounds, Cell { x: quarter + 1, y: quarter + 1 }),
            (Supply::Rockets, Cell { x: half - 3, y: half - 1 }),
        ]
    }

    /// Whether every free cell can be reached from every other by steps to the four neighbours.
    fn is_connected(&self) -> bool {
        let side = usize::from(self.side);
        let mut seen = self.solid.clone();
        let Some(start) = seen.iter().position(|solid| !solid) else { return false };
        let mut open = vec![start];
        seen[start] = true;
        while let Some(at) = open.pop() {
            // The border is wall, so a free cell has all four neighbours.
            for next in [at - 1, at + 1, at - side, at + side] {
                if !seen[next] {
                    seen[next] = true;
                    open.push(next);
                }
            }
        }
        seen.iter().all(|reached| *reached)
    }

    fn finish(self) -> Map {
        let entrances = [Cell { x: 2, y: 2 }, Cell { x: 4, y: 2 }, Cell { x: 2, y: 4 }, Cell { x: 4, y: 4 }];
        let spawns = entrances
            .into_iter()
            .flat_map(|cell| (0..).zip(self.images(cell)).map(|(corner, cell)| Spawn { corner, cell }))
            .collect();
        let supplies = self
            .supplies()
            .into_iter()
            .flat_map(|(supply, cell)| self.images(cell).map(|image| (supply, image)))
            .collect();
        Map::new(self.side, self.solid, spawns, supplies).expect("corners and supplies are reserved, the border drawn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_its_map_and_others_give_others() {
        assert_eq!(generate(1, 8), generate(1, 8));
        assert_ne!(generate(1, 8), generate(2, 8));
        assert!(generate(1, 2).side() < generate(1, 16).side());
    }

    #[test]
    fn every_map_has_obstacles_is_symmetric_and_all_of_it_can_be_reached() {
        for seed in 0..300 {
            let map = generate(seed, 2 + seed as usize % 15);
            let side = i32::from(map.side());
            let inner = |at: i32| 1..side - 1 - at;
            let walls = inner(0).flat_map(|x| inner(0).map(move |y| (x, y))).filter(|(x, y)| map.is_solid(*x, *y));
            assert!(walls.count() >= 8, "seed {seed} has an empty map");
            for x in 0..side {
                for y in 0..side {
                    assert_eq!(map.is_solid(x, y), map.is_solid(side - 1 - y, x), "seed {seed}");
                }
            }
            let solid = (0..side).flat_map(|y| (0..side).map(move |x| (x, y))).map(|(x, y)| map.is_solid(x, y));
            assert!(Drawing { side: map.side(), solid: solid.collect() }.is_connected(), "seed {seed}");
        }
    }
}
