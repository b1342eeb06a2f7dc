//! What a client needs to predict its own player: the body out of a view, and how two bodies differ to the eye.

use netcode::replication::{EntityId, View};

use crate::movement::Body;
use crate::schema::{PLAYER, player};

/// Differences in metres above this are jumps (a respawn), which are not smoothed.
pub const JUMP_M: f32 = 4.0;

/// What of an avatar moves; none when the entity is not an avatar.
pub fn read(view: &View, entity: EntityId) -> Option<Body> {
    (view.kind(entity) == Some(PLAYER)).then(|| Body {
        x: view.get(entity, player::X),
        y: view.get(entity, player::Y),
        vx: view.get(entity, player::VX),
        vy: view.get(entity, player::VY),
        dash_left: view.get(entity, player::DASH_LEFT) as u16,
        dash_wait: view.get(entity, player::DASH_WAIT) as u16,
        alive: view.get(entity, player::HEALTH) > 0.0,
    })
}

/// Distance between two bodies in metres.
pub fn error(a: &Body, b: &Body) -> f32 {
    let (dx, dy) = (a.x - b.x, a.y - b.y);
    (dx * dx + dy * dy).sqrt()
}

/// The body `part` (0 to 1) of the way from one place to another; all but the place is that of `to`.
pub fn blend(from: &Body, to: &Body, part: f32) -> Body {
    Body { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part, ..*to }
}
