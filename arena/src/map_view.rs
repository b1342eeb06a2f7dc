//! The map as people who watch a match see it.

use game::MapView;
use game::map_view::Wall;

use crate::map::Map;

/// The walls of a map: neighbours in a row make one wall.
pub(crate) fn map_view(map: &Map) -> MapView {
    let side = map.side();
    let mut walls: Vec<Wall> = Vec::new();
    for y in 0..side {
        let mut open: Option<Wall> = None;
        for x in 0..side {
            if map.is_solid(i32::from(x), i32::from(y)) {
                let wall = open.get_or_insert(Wall { x: f32::from(x), y: f32::from(y), width: 0.0, height: 1.0 });
                wall.width += 1.0;
            } else {
                walls.extend(open.take());
            }
        }
        walls.extend(open);
    }
    MapView { width: f32::from(side), height: f32::from(side), walls }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map_with_walls;

    #[test]
    fn the_walls_cover_exactly_the_solid_cells() {
        let map = map_with_walls(&[(10, 5), (11, 5), (3, 20)]);
        let view = map_view(&map);
        for (x, y) in (0..map.side()).flat_map(|x| (0..map.side()).map(move |y| (x, y))) {
            let (cx, cy) = (f32::from(x) + 0.5, f32::from(y) + 0.5);
            let covers = |w: &&Wall| w.x < cx && cx < w.x + w.width && w.y < cy && cy < w.y + w.height;
            let covered = view.walls.iter().filter(covers).count();
            assert_eq!(covered, usize::from(map.is_solid(i32::from(x), i32::from(y))), "cell {x}, {y}");
        }
        assert!(view.walls.contains(&Wall { x: 10.0, y: 5.0, width: 2.0, height: 1.0 }));
    }
}
