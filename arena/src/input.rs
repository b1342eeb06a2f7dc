//! A player's controls as the fields of an input, and back.

use game::Input;

use crate::movement::Controls;
use crate::schema::{MOVE_FULL, input};

/// Number of fields of an input.
pub const FIELDS: usize = 6;

/// What an input asks for.
pub fn controls(input: &Input) -> Controls {
    Controls {
        right: input.get(input::RIGHT) / MOVE_FULL,
        up: input.get(input::UP) / MOVE_FULL,
        aim: input.get(input::AIM_ANGLE),
        fire: input.get(input::FIRE) != 0.0,
        rocket: input.get(input::WEAPON) != 0.0,
        dash: input.get(input::DASH) != 0.0,
    }
}

/// The values of the input's fields, in order, for these controls.
pub fn values(controls: &Controls) -> [f32; FIELDS] {
    let mut values = [0.0; FIELDS];
    values[input::RIGHT] = controls.right * MOVE_FULL;
    values[input::UP] = controls.up * MOVE_FULL;
    values[input::AIM_ANGLE] = controls.aim;
    values[input::FIRE] = f32::from(u8::from(controls.fire));
    values[input::WEAPON] = f32::from(u8::from(controls.rocket));
    values[input::DASH] = f32::from(u8::from(controls.dash));
    values
}
