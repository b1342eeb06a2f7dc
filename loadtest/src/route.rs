//! Ways around the arena's walls.

use std::collections::VecDeque;

use arena::map::Map;
use arena::movement::HALF_SIDE_M;

/// Cells of a way that are looked ahead for a straight line.
const LOOK_AHEAD: usize = 8;

/// Steps from every cell of a map to one goal.
#[derive(Debug, Clone)]
pub struct Route {
    goal: (i32, i32),
    side: i32,
    /// Steps to the goal by cell; `u16::MAX` for walls.
    steps: Vec<u16>,
}

impl Route {
    /// The ways to the cell that holds this point.
    pub fn to(goal: (f32, f32), map: &Map) -> Self {
        let side = i32::from(map.side());
        let goal = cell(goal);
        let mut route = Self { goal, side, steps: vec![u16::MAX; (side * side) as usize] };
        let mut open = VecDeque::new();
        if let Some(index) = route.index(goal) {
            route.steps[index] = 0;
            open.push_back(goal);
        }
        while let Some(at) = open.pop_front() {
            let next_steps = route.steps_from(at).saturating_add(1);
            for next in neighbours(at) {
                let index = route.index(next).filter(|_| !map.is_solid(next.0, next.1));
                if let Some(index) = index.filter(|index| route.steps[*index] == u16::MAX) {
                    route.steps[index] = next_steps;
                    open.push_back(next);
                }
            }
        }
        route
    }

    /// Whether this leads to the cell that holds the point.
    pub fn leads_to(&self, goal: (f32, f32)) -> bool {
        self.goal == cell(goal)
    }

    /// The direction to walk in from here, as a vector of length 1; none at the goal or where no way leads.
    pub fn direction(&self, from: (f32, f32), map: &Map) -> Option<(f32, f32)> {
        let mut at = cell(from);
        let mut best = None;
        for ahead in 0..LOOK_AHEAD {
            let next = neighbours(at).into_iter().min_by_key(|next| self.steps_from(*next))?;
            if self.steps_from(next) >= self.steps_from(at) {
                break;
            }
            let to = (next.0 as f32 + 0.5, next.1 as f32 + 0.5);
            if ahead > 0 && !is_walkable(from, to, map) {
                break;
            }
            best = Some(to);
            at = next;
        }
        let to = best?;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        (length > 0.01).then(|| (dx / length, dy / length))
    }

    fn steps_from(&self, at: (i32, i32)) -> u16 {
        self.index(at).map_or(u16::MAX, |index| self.steps[index])
    }

    fn index(&self, (x, y): (i32, i32)) -> Option<usize> {
        ((0..self.side).contains(&x) && (0..self.side).contains(&y)).then_some((y * self.side + x) as usize)
    }
}

fn cell((x, y): (f32, f32)) -> (i32, i32) {
    (x.floor() as i32, y.floor() as i32)
}

fn neighbours((x, y): (i32, i32)) -> [(i32, i32); 4] {
    [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
}

/// Whether a body can walk straight there: all four of its corners can.
fn is_walkable(from: (f32, f32), to: (f32, f32), map: &Map) -> bool {
    let reach = HALF_SIDE_M - 0.01;
    [(reach, reach), (reach, -reach), (-reach, reach), (-reach, -reach)]
        .into_iter()
        .all(|(dx, dy)| map.sees((from.0 + dx, from.1 + dy), (to.0 + dx, to.1 + dy)))
}

#[cfg(test)]
mod tests {
    use arena::map_generation::generate;
    use arena::movement::{Body, Controls, step};
    use arena::rate::Rate;

    use super::*;

    #[test]
    fn a_walker_that_follows_its_route_arrives_on_every_map() {
        for seed in 0..20 {
            let map = generate(seed, 8);
            let rate = Rate::new(60).expect("allowed");
            let (start, goal) = (map.spawns()[0].cell.centre(), map.spawns()[2].cell.centre());
            let route = Route::to(goal, &map);
            let mut body = Body::standing_at(start);
            let arrived = (0..60 * 20).find(|_| {
                let direction = route.direction(body.position(), &map);
                let (right, up) = direction.unwrap_or((0.0, 0.0));
                body = step(&body, &Controls { right, up, ..Controls::default() }, &map, rate);
                direction.is_none()
            });
            assert!(arrived.is_some(), "seed {seed}: stuck at {:?} on the way to {goal:?}", body.position());
            assert!(route.leads_to(body.position()));
        }
    }
}
