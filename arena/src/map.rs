//! The walled square that a match is fought in: its cells, and questions about them.

/// Smallest length of a side in cells.
pub const SIDE_MIN: u8 = 24;
/// Largest length of a side in cells.
pub const SIDE_MAX: u8 = 40;
/// Most places of one list (spawn points, pickups) that map bytes may hold.
const PLACES_MAX: usize = 64;
const FORMAT: u8 = 1;

/// A cell by column and row; its square reaches from `(column, row)` to `(column + 1, row + 1)` in metres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Column, from the left.
    pub x: u8,
    /// Row, from below.
    pub y: u8,
}

/// What lies at a pickup's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// Gives health.
    Health,
    /// Gives rounds for the rifle.
    Rounds,
    /// Gives rockets.
    Rockets,
}

/// Where a player enters the match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawn {
    /// Corner of the map that it belongs to, 0 to 3, counter-clockwise from the lower left.
    pub corner: u8,
    /// The cell.
    pub cell: Cell,
}

/// Walls, spawn points and pickups. A cell is one metre; the outermost ring is always wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    side: u8,
    solid: Vec<bool>,
    spawns: Vec<Spawn>,
    supplies: Vec<(Supply, Cell)>,
}

/// Why bytes are not a map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an arena map: the bytes are cut short, too long, or hold impossible values")]
pub struct MapError;

impl Cell {
    /// The middle of the cell in metres.
    pub fn centre(self) -> (f32, f32) {
        (f32::from(self.x) + 0.5, f32::from(self.y) + 0.5)
    }
}

impl Supply {
    /// Every supply, in order of number.
    pub const ALL: [Self; 3] = [Self::Health, Self::Rounds, Self::Rockets];

    /// The supply with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl Map {
    /// A map of the given parts; `solid` row by row from below.
    ///
    /// # Errors
    /// [`MapError`] unless the side is allowed, the border is wall, and all places are inside and free.
    pub fn new(
        side: u8,
        solid: Vec<bool>,
        spawns: Vec<Spawn>,
        supplies: Vec<(Supply, Cell)>,
    ) -> Result<Self, MapError> {
        let map = Self { side, solid, spawns, supplies };
        let sound = (SIDE_MIN..=SIDE_MAX).contains(&side)
            && map.solid.len() == usize::from(side) * usize::from(side)
            && (0..side).all(|i| {
                let edges = [(i, 0), (i, side - 1), (0, i), (side - 1, i)];
                edges.into_iter().all(|(x, y)| map.is_solid(i32::from(x), i32::from(y)))
            })
            && !map.spawns.is_empty()
            && map.spawns.len() <= PLACES_MAX
            && map.supplies.len() <= PLACES_MAX
            && map.spawns.iter().all(|spawn| spawn.corner < 4 && map.is_free(spawn.cell))
            && map.supplies.iter().all(|(_, cell)| map.is_free(*cell));
        if sound { Ok(map) } else { Err(MapError) }
    }

    /// Length of a side in cells, which is metres.
    pub fn side(&self) -> u8 {
        self.side
    }

    /// Spawn points.
    pub fn spawns(&self) -> &[Spawn] {
        &self.spawns
    }

    /// What lies where.
    pub fn supplies(&self) -> &[(Supply, Cell)] {
        &self.supplies
    }

    /// Whether the cell at this column and row is wall; everything outside the map is.
    pub fn is_solid(&self, x: i32, y: i32) -> bool {
        let side = i32::from(self.side);
        if !(0..side).contains(&x) || !(0..side).contains(&y) {
            return true;
        }
        self.solid.get((y * side + x) as usize).copied().unwrap_or(true)
    }

    /// Whether the cell is not wall.
    pub fn is_free(&self, cell: Cell) -> bool {
        !self.is_solid(i32::from(cell.x), i32::from(cell.y))
    }

    /// How much of the straight way between two points is free of walls: 1 when all of it is, 0 when it begins in one.
    ///
    /// Walks the cells that the line crosses (Amanatides and Woo 1987), so nothing is thin enough to be missed.
    pub fn free_way(&self, from: (f32, f32), to: (f32, f32)) -> f32 {
        let way = (to.0 - from.0, to.1 - from.1);
        if !way.0.is_finite() || !way.1.is_finite() {
            return 0.0;
        }
        let mut x = Axis::new(from.0, way.0);
        let mut y = Axis::new(from.1, way.1);
        let mut walked = 0.0;
        // A line inside the map crosses at most two cells per column; one that leaves it meets the border.
        for _ in 0..2 * u32::from(self.side) + 4 {
            if self.is_solid(x.cell, y.cell) {
                return walked;
            }
            let axis = if x.next < y.next { &mut x } else { &mut y };
            if axis.next >= 1.0 {
                return 1.0;
            }
            walked = axis.next;
            axis.cell += axis.step;
            axis.next += axis.per_cell;
        }
        walked
    }

    /// Whether nothing stands between two points.
    pub fn sees(&self, from: (f32, f32), to: (f32, f32)) -> bool {
        self.free_way(from, to) >= 1.0
    }

    /// The map's bytes: format `u8` = 1, side `u8`, cells row by row as bits (lowest first, padded to a byte), number of
    /// spawns `u8`, each corner, column, row; number of supplies `u8`, each supply, column, row.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, self.side];
        for eight in self.solid.chunks(8) {
            out.push(eight.iter().enumerate().fold(0, |byte, (bit, solid)| byte | (u8::from(*solid) << bit)));
        }
        out.push(self.spawns.len() as u8);
        out.extend(self.spawns.iter().flat_map(|spawn| [spawn.corner, spawn.cell.x, spawn.cell.y]));
        out.push(self.supplies.len() as u8);
        out.extend(self.supplies.iter().flat_map(|(supply, cell)| [*supply as u8, cell.x, cell.y]));
        out
    }

    /// Reads the bytes of a map.
    ///
    /// # Errors
    /// [`MapError`] for anything but the exact bytes of a sound map. Never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapError> {
        let (&[format, side], rest) = bytes.split_first_chunk::<2>().ok_or(MapError)?;
        let cells = usize::from(side) * usize::from(side);
        let (bits, rest) = rest.split_at_checked(cells.div_ceil(8)).ok_or(MapError)?;
        let solid = (0..cells).map(|i| bits[i / 8] >> (i % 8) & 1 == 1).collect();
        let (spawns, rest) = triples(rest)?;
        let (supplies, rest) = triples(rest)?;
        let spawns = spawns.map(|[corner, x, y]| Spawn { corner, cell: Cell { x, y } }).collect();
        let supplies: Option<_> =
            supplies.map(|[code, x, y]| Some((Supply::from_code(code)?, Cell { x, y }))).collect();
        if format != FORMAT || !rest.is_empty() {
            return Err(MapError);
        }
        Self::new(side, solid, spawns, supplies.ok_or(MapError)?)
    }
}

/// A count and that many triples from the front of `bytes`, and the rest.
fn triples(bytes: &[u8]) -> Result<(impl Iterator<Item = [u8; 3]> + '_, &[u8]), MapError> {
    let (&count, rest) = bytes.split_first().ok_or(MapError)?;
    let (list, rest) = rest.split_at_checked(usize::from(count) * 3).ok_or(MapError)?;
    Ok((list.chunks_exact(3).map(|triple| [triple[0], triple[1], triple[2]]), rest))
}

/// One coordinate of a walk along a line.
struct Axis {
    cell: i32,
    /// Direction of the walk: −1 or 1.
    step: i32,
    /// Part of the line at which the next cell begins.
    next: f32,
    /// Part of the line that one cell takes.
    per_cell: f32,
}

impl Axis {
    fn new(from: f32, way: f32) -> Self {
        let floor = from.floor();
        let per_cell = (1.0 / way).abs();
        let (step, first) = if way < 0.0 { (-1, from - floor) } else { (1, floor + 1.0 - from) };
        let next = if way == 0.0 { f32::INFINITY } else { first * per_cell };
        Self { cell: floor as i32, step, next, per_cell }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An empty walled square with the given cells as walls.
    pub(crate) fn map_with_walls(walls: &[(u8, u8)]) -> Map {
        let side = SIDE_MIN;
        let at = |i: usize| ((i % usize::from(side)) as u8, (i / usize::from(side)) as u8);
        let border = |(x, y): (u8, u8)| x == 0 || y == 0 || x == side - 1 || y == side - 1;
        let solid =
            (0..usize::from(side) * usize::from(side)).map(|i| border(at(i)) || walls.contains(&at(i))).collect();
        let corners = [(2, 2), (side - 3, 2), (side - 3, side - 3), (2, side - 3)];
        let spawns = corners.into_iter().zip(0..).map(|((x, y), corner)| Spawn { corner, cell: Cell { x, y } });
        Map::new(side, solid, spawns.collect(), vec![(Supply::Health, Cell { x: 12, y: 12 })]).expect("sound by hand")
    }

    #[test]
    fn a_line_stops_at_the_wall_it_meets() {
        let map = map_with_walls(&[(10, 5)]);
        assert_eq!(map.free_way((5.5, 5.5), (9.5, 5.5)), 1.0);
        assert_eq!(map.free_way((5.0, 5.5), (15.0, 5.5)), 0.5);
        assert_eq!(map.free_way((15.0, 5.5), (5.0, 5.5)), 0.4);
        assert_eq!(map.free_way((10.5, 5.5), (5.5, 5.5)), 0.0);
        assert!(map.sees((5.5, 4.5), (15.5, 4.5)) && !map.sees((5.5, 5.5), (15.5, 5.5)));
        assert!(!map.sees((5.5, 5.5), (9.5, f32::NAN)) && !map.sees((f32::INFINITY, 5.5), (9.5, 5.5)));
    }

    #[test]
    fn a_map_survives_the_wire_and_damaged_bytes_are_refused() {
        let map = map_with_walls(&[(10, 5), (3, 20)]);
        let bytes = map.to_bytes();
        assert_eq!(Map::from_bytes(&bytes).as_ref(), Ok(&map));
        assert_eq!(Map::from_bytes(&bytes[..bytes.len() - 1]), Err(MapError));
        let mut open = bytes.clone();
        open[2] = 0;
        assert_eq!(Map::from_bytes(&open), Err(MapError), "a border with a hole lets players out");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_map_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Map::from_bytes(&bytes);
        }

        #[test]
        fn a_way_is_free_up_to_its_end_point(
            fx in 1.0..23.0f32, fy in 1.0..23.0f32, tx in -5.0..30.0f32, ty in -5.0..30.0f32,
        ) {
            let map = map_with_walls(&[(10, 10), (11, 10), (5, 15), (18, 4)]);
            let part = map.free_way((fx, fy), (tx, ty));
            prop_assert!((0.0..=1.0).contains(&part));
            for i in 0..100u8 {
                let at = part * f32::from(i) / 100.0;
                let (x, y) = (fx + (tx - fx) * at, fy + (ty - fy) * at);
                let edge = (x - x.round()).abs().min((y - y.round()).abs()) < 1e-3;
                prop_assert!(edge || part == 0.0 || !map.is_solid(x.floor() as i32, y.floor() as i32));
            }
        }
    }
}
