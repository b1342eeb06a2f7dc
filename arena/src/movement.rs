//! How a player moves. The server and every client's prediction call the same [`step`], on the same quantized
//! values, so a prediction is wrong only where the client could not know something.

use crate::map::Map;
use crate::rate::Rate;
use crate::schema::{POSITION, VELOCITY};
use crate::trig;

/// Half the side of the square that a player fills, in metres; a multiple of the position's quantum, so that a
/// player who touches a wall stands on an exact value.
pub const HALF_SIDE_M: f32 = 0.375;
/// Speed of running in metres per second.
pub const RUN_M_PER_S: f32 = 6.0;
/// Speed of a dash in metres per second: the fastest that a player can be.
pub const DASH_M_PER_S: f32 = 20.0;
/// Acceleration and braking in metres per second per second: full speed in a tenth of a second.
const RUN_M_PER_S2: f32 = 60.0;
/// Length of a dash in seconds.
const DASH_S: f32 = 0.15;
/// From the start of one dash to the next in seconds.
pub const DASH_WAIT_S: f32 = 2.0;
/// Longest single move along an axis in metres: shorter than a cell, so no wall is stepped over.
const STRIDE_M: f32 = 0.25;

/// What of a player moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Body {
    /// Metres from the left.
    pub x: f32,
    /// Metres from below.
    pub y: f32,
    /// Metres per second to the right.
    pub vx: f32,
    /// Metres per second upwards.
    pub vy: f32,
    /// Ticks left of the dash.
    pub dash_left: u16,
    /// Ticks until the next dash.
    pub dash_wait: u16,
    /// The dead do not move.
    pub alive: bool,
}

/// What a player wants in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Controls {
    /// Movement to the right, −1 to 1.
    pub right: f32,
    /// Movement upwards, −1 to 1.
    pub up: f32,
    /// Direction to aim in, in radians.
    pub aim: f32,
    /// Shoot.
    pub fire: bool,
    /// Hold the rocket launcher instead of the rifle.
    pub rocket: bool,
    /// Dash.
    pub dash: bool,
}

impl Body {
    /// A living body at rest.
    pub fn standing_at((x, y): (f32, f32)) -> Self {
        Self { x, y, vx: 0.0, vy: 0.0, dash_left: 0, dash_wait: 0, alive: true }
    }

    /// Where it is.
    pub fn position(&self) -> (f32, f32) {
        (self.x, self.y)
    }
}

/// The body one tick later. The result holds only values that the schema can carry.
pub fn step(body: &Body, controls: &Controls, map: &Map, rate: Rate) -> Body {
    if !body.alive {
        return *body;
    }
    let mut next = *body;
    next.dash_wait = body.dash_wait.saturating_sub(1);
    accelerate(&mut next, controls, rate);
    let (dx, dy) = (next.vx * rate.tick_s(), next.vy * rate.tick_s());
    let strides = (dx.abs().max(dy.abs()) / STRIDE_M).ceil().max(1.0);
    for _ in 0..strides as u32 {
        let x = slide(next.x, dx / strides, |x| is_blocked(map, x, next.y));
        next.vx = if x.1 { 0.0 } else { next.vx };
        next.x = x.0;
        let y = slide(next.y, dy / strides, |y| is_blocked(map, next.x, y));
        next.vy = if y.1 { 0.0 } else { next.vy };
        next.y = y.0;
    }
    next.x = POSITION.dequantize(POSITION.quantize(next.x));
    next.y = POSITION.dequantize(POSITION.quantize(next.y));
    next.vx = VELOCITY.dequantize(VELOCITY.quantize(next.vx));
    next.vy = VELOCITY.dequantize(VELOCITY.quantize(next.vy));
    next
}

/// Sets the velocity of this tick from the controls, and begins or continues a dash.
fn accelerate(body: &mut Body, controls: &Controls, rate: Rate) {
    let wanted = within_unit_circle(controls.right, controls.up);
    if controls.dash && body.dash_wait == 0 {
        let (x, y) = unit(wanted).unwrap_or_else(|| trig::direction(controls.aim));
        (body.vx, body.vy) = (x * DASH_M_PER_S, y * DASH_M_PER_S);
        body.dash_left = rate.ticks(DASH_S);
        body.dash_wait = rate.ticks(DASH_WAIT_S);
    } else if body.dash_left > 0 {
        body.dash_left -= 1;
        if body.dash_left == 0 {
            let (x, y) = unit((body.vx, body.vy)).unwrap_or((0.0, 0.0));
            (body.vx, body.vy) = (x * RUN_M_PER_S, y * RUN_M_PER_S);
        }
    } else {
        let change = (wanted.0 * RUN_M_PER_S - body.vx, wanted.1 * RUN_M_PER_S - body.vy);
        let most = RUN_M_PER_S2 * rate.tick_s();
        let length = (change.0 * change.0 + change.1 * change.1).sqrt();
        let part = if length > most { most / length } else { 1.0 };
        body.vx += change.0 * part;
        body.vy += change.1 * part;
    }
}

/// Moves one coordinate; says where it ends, and whether a wall stopped it.
fn slide(at: f32, by: f32, is_blocked: impl Fn(f32) -> bool) -> (f32, bool) {
    let to = at + by;
    if !is_blocked(to) {
        return (to, false);
    }
    // The wall begins at the cell border between the body's leading side before and after the move.
    let stopped =
        if by > 0.0 { (to + HALF_SIDE_M).floor() - HALF_SIDE_M } else { (to - HALF_SIDE_M).ceil() + HALF_SIDE_M };
    // A body that is inside a wall already (it never should be) stays where it is.
    if is_blocked(stopped) { (at, true) } else { (stopped, true) }
}

/// Whether a body with its middle here would overlap a wall; touching is allowed.
pub fn is_blocked(map: &Map, x: f32, y: f32) -> bool {
    let cells = |middle: f32| (middle - HALF_SIDE_M).floor() as i32..=(middle + HALF_SIDE_M).ceil() as i32 - 1;
    cells(x).any(|column| cells(y).any(|row| map.is_solid(column, row)))
}

/// The vector, shortened to length 1 when it is longer.
fn within_unit_circle(x: f32, y: f32) -> (f32, f32) {
    let (x, y) = (finite(x).clamp(-1.0, 1.0), finite(y).clamp(-1.0, 1.0));
    let length = (x * x + y * y).sqrt();
    if length > 1.0 { (x / length, y / length) } else { (x, y) }
}

/// The vector stretched to length 1, unless it is nearly zero.
fn unit((x, y): (f32, f32)) -> Option<(f32, f32)> {
    let length = (x * x + y * y).sqrt();
    (length > 0.01).then(|| (x / length, y / length))
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::map::tests::map_with_walls;
    use crate::map_generation::generate;

    fn rate(hz: u32) -> Rate {
        Rate::new(hz).expect("allowed")
    }

    #[test]
    fn a_runner_reaches_full_speed_and_stops_at_the_wall_exactly() {
        let map = map_with_walls(&[(10, 5)]);
        let mut body = Body::standing_at((5.5, 5.5));
        let right = Controls { right: 1.0, ..Controls::default() };
        for _ in 0..10 {
            body = step(&body, &right, &map, rate(60));
        }
        assert_eq!(body.vx, RUN_M_PER_S);
        for _ in 0..120 {
            body = step(&body, &right, &map, rate(60));
        }
        assert_eq!((body.x, body.vx, body.y), (10.0 - HALF_SIDE_M, 0.0, 5.5));
    }

    #[test]
    fn a_dash_is_fast_short_and_has_to_be_waited_for() {
        let map = map_with_walls(&[]);
        let dash = Controls { dash: true, aim: std::f32::consts::FRAC_PI_2, ..Controls::default() };
        let mut body = Body::standing_at((5.5, 5.5));
        let mut dashing_ticks = 0;
        for _ in 0..60 {
            body = step(&body, &dash, &map, rate(60));
            dashing_ticks += u32::from(body.vy > RUN_M_PER_S + 1.0);
        }
        assert_eq!(dashing_ticks, u32::from(rate(60).ticks(DASH_S)));
        assert!(body.y > 8.0 && (body.x - 5.5).abs() < 0.01);
    }

    #[test]
    fn the_dead_do_not_move() {
        let body = Body { alive: false, vx: 3.0, ..Body::standing_at((5.5, 5.5)) };
        let run = Controls { right: 1.0, ..Controls::default() };
        assert_eq!(step(&body, &run, &map_with_walls(&[]), rate(60)), body);
    }

    proptest! {
        #[test]
        fn nobody_gets_into_a_wall_at_any_speed_and_rate(
            seed in 0u64..50,
            hz in Rate::HZ_MIN..=Rate::HZ_MAX,
            moves in prop::collection::vec((-1.5..1.5f32, -1.5..1.5f32, -7.0..7.0f32, any::<bool>()), 1..200),
        ) {
            let map = generate(seed, 8);
            let mut body = Body::standing_at(map.spawns()[0].cell.centre());
            for (right, up, aim, dash) in moves {
                // The fastest that a body can be, whatever the rules make of the waits.
                body.dash_wait = 0;
                let before = body;
                body = step(&body, &Controls { right, up, aim, dash, ..Controls::default() }, &map, rate(hz));
                prop_assert!(!is_blocked(&map, body.x, body.y), "{before:?} got into a wall: {body:?}");
                let (dx, dy) = (body.x - before.x, body.y - before.y);
                let longest = DASH_M_PER_S / hz as f32 + 0.01;
                prop_assert!((dx * dx + dy * dy).sqrt() <= longest, "{before:?} jumped to {body:?}");
                prop_assert_eq!(POSITION.dequantize(POSITION.quantize(body.x)), body.x);
            }
        }

        #[test]
        fn hostile_numbers_keep_the_body_where_it_can_be(right: f32, up: f32, aim: f32) {
            let map = map_with_walls(&[]);
            let controls = Controls { right, up, aim, dash: true, ..Controls::default() };
            let body = step(&Body::standing_at((5.5, 5.5)), &controls, &map, rate(20));
            prop_assert!(!is_blocked(&map, body.x, body.y));
        }
    }
}
