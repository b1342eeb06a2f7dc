//! What clients receive and send: the kinds of entities with their fields, by place, and the input.
//!
//! Fields stand in the order in which they change most often, because the delta codec names changed fields from the
//! front. What only matters to the player itself (ammunition, waits) goes to the owner alone.

use protocol::schema::{Field, FieldCodec, Kind, Schema};

/// Positions in metres: steps of 1/512 m are below what a screen shows, and exact in an `f32`.
pub const POSITION: FieldCodec = FieldCodec::Range { min: 0.0, max: 64.0 - 1.0 / 512.0, step: 1.0 / 512.0 };
/// Velocities in metres per second, per axis.
pub const VELOCITY: FieldCodec = FieldCodec::Range { min: -32.0, max: 32.0 - 1.0 / 64.0, step: 1.0 / 64.0 };
/// Directions: a tenth of a metre at the rim of the view.
pub const AIM: FieldCodec = FieldCodec::Angle { bits: 10 };
/// One coordinate of the direction of movement, −[`MOVE_FULL`] to [`MOVE_FULL`].
pub const MOVE: FieldCodec = FieldCodec::Signed { bits: 4 };
/// Value of a movement field that means full speed.
pub const MOVE_FULL: f32 = 7.0;
/// Waits in ticks: 7.9 s at the fastest rate.
const WAIT: FieldCodec = FieldCodec::Unsigned { bits: 10 };
const SMALL: FieldCodec = FieldCodec::Unsigned { bits: 4 };
const COUNT: FieldCodec = FieldCodec::Unsigned { bits: 10 };

/// Number of the kind "player".
pub const PLAYER: usize = 0;
/// Number of the kind "projectile".
pub const PROJECTILE: usize = 1;
/// Number of the kind "pickup".
pub const PICKUP: usize = 2;
/// Number of the kind "match", of which there is one entity.
pub const MATCH: usize = 3;

/// Declares the fields of a kind in one place: a constant with the field's number, and the list for the schema.
macro_rules! fields {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal, $make:ident($codec:expr);)*) => {
        $($(#[$doc])* pub const $constant: usize = $number;)*

        /// The fields in order.
        pub(super) fn list() -> Vec<Field> {
            vec![$(Field::$make($name, $codec)),*]
        }

        /// The number that each constant claims for each name.
        #[cfg(test)]
        pub(super) const NUMBERS: &[(usize, &str)] = &[$(($constant, $name)),*];
    };
}

/// Fields of a player's avatar.
pub mod player {
    use super::{AIM, COUNT, Field, FieldCodec, POSITION, SMALL, VELOCITY, WAIT};

    fields! {
        /// Metres from the left.
        X = 0, "x", new(POSITION);
        /// Metres from below.
        Y = 1, "y", new(POSITION);
        /// Direction the player aims in.
        AIM_ANGLE = 2, "aim", new(AIM);
        /// Metres per second to the right.
        VX = 3, "vx", new(VELOCITY);
        /// Metres per second upwards.
        VY = 4, "vy", new(VELOCITY);
        /// Ticks until the next dash.
        DASH_WAIT = 5, "dash_wait", owner_only(WAIT);
        /// Ticks left of the dash.
        DASH_LEFT = 6, "dash_left", new(FieldCodec::Unsigned { bits: 6 });
        /// Ticks until the next shot.
        FIRE_WAIT = 7, "fire_wait", owner_only(WAIT);
        /// Rounds for the rifle.
        ROUNDS = 8, "rounds", owner_only(FieldCodec::Unsigned { bits: 8 });
        /// 0 (dead) to 100.
        HEALTH = 9, "health", new(FieldCodec::Unsigned { bits: 7 });
        /// The weapon in hand: 0 rifle, 1 rocket launcher.
        WEAPON = 10, "weapon", new(FieldCodec::Unsigned { bits: 1 });
        /// Rockets.
        ROCKETS = 11, "rockets", owner_only(SMALL);
        /// Cannot be hurt, having just entered.
        PROTECTED = 12, "protected", new(FieldCodec::Bool);
        /// Players killed.
        KILLS = 13, "kills", new(COUNT);
        /// Times died.
        DEATHS = 14, "deaths", new(COUNT);
        /// Seat number.
        SEAT = 15, "seat", new(SMALL);
        /// Side that the player fights for: the team, or the own seat when everyone fights alone.
        SIDE = 16, "side", new(SMALL);
    }
}

/// Fields of a projectile.
pub mod projectile {
    use super::{AIM, Field, FieldCodec, POSITION, SMALL};

    fields! {
        /// Metres from the left.
        X = 0, "x", new(POSITION);
        /// Metres from below.
        Y = 1, "y", new(POSITION);
        /// Direction of flight.
        ANGLE = 2, "angle", new(AIM);
        /// The weapon it comes from: 0 rifle, 1 rocket launcher.
        WEAPON = 3, "weapon", new(FieldCodec::Unsigned { bits: 1 });
        /// Seat of the player who shot it.
        SEAT = 4, "seat", new(SMALL);
    }
}

/// Fields of a pickup.
pub mod pickup {
    use super::{Field, FieldCodec, POSITION};

    fields! {
        /// Lies there; otherwise it was taken and will come back.
        READY = 0, "ready", new(FieldCodec::Bool);
        /// Metres from the left.
        X = 1, "x", new(POSITION);
        /// Metres from below.
        Y = 2, "y", new(POSITION);
        /// What it is: 0 health, 1 rounds, 2 rockets.
        SUPPLY = 3, "supply", new(FieldCodec::Unsigned { bits: 2 });
    }
}

/// Fields of the match.
pub mod status {
    use super::{COUNT, Field, FieldCodec};

    fields! {
        /// Seconds left of the phase, rounded up.
        SECONDS_LEFT = 0, "seconds_left", new(COUNT);
        /// Kills of side 0; sides beyond the fourth show only in their players' kills.
        SCORE_0 = 1, "score_0", new(COUNT);
        /// Kills of side 1.
        SCORE_1 = 2, "score_1", new(COUNT);
        /// Kills of side 2.
        SCORE_2 = 3, "score_2", new(COUNT);
        /// Kills of side 3.
        SCORE_3 = 4, "score_3", new(COUNT);
        /// 0 warm-up, 1 play, 2 over.
        PHASE = 5, "phase", new(FieldCodec::Unsigned { bits: 2 });
    }
}

/// Fields of a player's input.
pub mod input {
    use super::{AIM, Field, FieldCodec, MOVE};

    fields! {
        /// Movement to the right, −7 to 7.
        RIGHT = 0, "right", new(MOVE);
        /// Movement upwards, −7 to 7.
        UP = 1, "up", new(MOVE);
        /// Direction to aim in.
        AIM_ANGLE = 2, "aim", new(AIM);
        /// Shoot.
        FIRE = 3, "fire", new(FieldCodec::Bool);
        /// Weapon to hold: 0 rifle, 1 rocket launcher.
        WEAPON = 4, "weapon", new(FieldCodec::Unsigned { bits: 1 });
        /// Dash in the direction of movement, or of the aim when standing.
        DASH = 5, "dash", new(FieldCodec::Bool);
    }
}

/// The arena's schema.
pub fn schema() -> Schema {
    let kind = |name: &str, fields| Kind { name: name.to_owned(), fields };
    Schema {
        game: "arena".to_owned(),
        version: 1,
        kinds: vec![
            kind("player", player::list()),
            kind("projectile", projectile::list()),
            kind("pickup", pickup::list()),
            kind("match", status::list()),
        ],
        input: input::list(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_valid_and_every_constant_names_its_field() {
        let schema = schema();
        assert_eq!(schema.validate(), Ok(()));
        assert_eq!(schema.kind("match"), Some(MATCH));
        let kinds = [player::NUMBERS, projectile::NUMBERS, pickup::NUMBERS, status::NUMBERS];
        for (kind, numbers) in schema.kinds.iter().zip(kinds) {
            for (number, name) in numbers {
                assert_eq!(kind.field(name), Some(*number), "{} of {}", name, kind.name);
            }
        }
        for (number, name) in input::NUMBERS {
            assert_eq!(schema.input[*number].name, *name);
        }
    }
}
