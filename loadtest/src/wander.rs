//! Plays any game by its schema alone: lively random inputs, as a curious player's on an unknown game.
//!
//! Each field of the input is held for a moment and then changed: switches are mostly off, sticks lean fully one way
//! more often than a little, angles turn smoothly.

use std::f32::consts::TAU;
use std::sync::Arc;

use arena::random::Random;
use game::Input;
use game::schema::{Field, FieldCodec, Schema};

/// A field's value is held for this many ticks at least, and at most.
const HOLD_TICKS: (u32, u32) = (8, 60);
/// A switch is on in one of so many choices.
const ON_ONE_IN: u32 = 4;
/// Fastest turn of an angle per tick, in radians.
const TURN_RAD: f32 = 0.15;

/// One bot's whims. The same seed gives the same inputs.
#[derive(Debug, Clone)]
pub struct Wanderer {
    schema: Arc<Schema>,
    random: Random,
    whims: Vec<Whim>,
}

/// What one input field is doing.
#[derive(Debug, Clone, Copy, Default)]
struct Whim {
    value: f32,
    turn: f32,
    ticks_left: u32,
}

impl Wanderer {
    /// Whims of this seed, for this game.
    pub fn new(schema: Arc<Schema>, seed: u64) -> Self {
        let whims = vec![Whim::default(); schema.input.len()];
        Self { schema, random: Random::new(seed), whims }
    }

    /// Fills the input for the next tick.
    pub fn think(&mut self, input: &mut Input) {
        for (place, (field, whim)) in self.schema.input.iter().zip(&mut self.whims).enumerate() {
            if whim.ticks_left == 0 {
                whim.ticks_left = HOLD_TICKS.0 + self.random.below(HOLD_TICKS.1 - HOLD_TICKS.0);
                choose(field, whim, &mut self.random);
            }
            whim.ticks_left -= 1;
            whim.value += whim.turn;
            input.set(place, whim.value);
        }
    }
}

fn choose(field: &Field, whim: &mut Whim, random: &mut Random) {
    let codec = field.codec;
    match codec {
        FieldCodec::Bool => whim.value = if random.below(ON_ONE_IN) == 0 { 1.0 } else { 0.0 },
        FieldCodec::Angle { .. } => {
            whim.value = whim.value.rem_euclid(TAU);
            whim.turn = random.signed_unit() * TURN_RAD;
        }
        FieldCodec::Unsigned { .. } | FieldCodec::Signed { .. } | FieldCodec::Range { .. } => {
            let (low, high) = (codec.dequantize(0), codec.dequantize(codec.raw_max()));
            whim.value = match random.below(4) {
                0 => low,
                1 => high,
                2 => low + (high - low) * 0.5,
                _ => low + (high - low) * (random.signed_unit() * 0.5 + 0.5),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use game::schema::{SchemaBuilder, angle, flag, range, signed, unsigned};

    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<i64>> {
        let fields =
            [flag("fire"), signed("x", 2), unsigned("slot", 3), range("throttle", -1.0, 1.0, 0.1), angle("aim", 8)];
        let schema = Arc::new(SchemaBuilder::new("any", 1).input(fields).build());
        let mut wanderer = Wanderer::new(Arc::clone(&schema), seed);
        let think = |_| {
            let mut input = Input::neutral(Arc::clone(&schema));
            wanderer.think(&mut input);
            (0..5).map(|field| i64::from(input.raw()[field])).collect()
        };
        (0..3_000).map(think).collect()
    }

    #[test]
    fn every_field_is_tried_out_and_held_for_a_moment() {
        let inputs = inputs(1);
        for (field, least) in [2, 4, 6, 10, 100].into_iter().enumerate() {
            let seen: BTreeSet<i64> = inputs.iter().map(|input| input[field]).collect();
            assert!(seen.len() >= least, "field {field} took the values {seen:?} only");
        }
        let changes = inputs.windows(2).filter(|pair| pair[0][1] != pair[1][1]).count();
        assert!((20..400).contains(&changes), "{changes} changes of a stick in 50 s are not a player's");
    }

    #[test]
    fn the_same_seed_plays_the_same() {
        assert_eq!(inputs(5), inputs(5));
        assert_ne!(inputs(5), inputs(6));
    }

    #[test]
    fn a_game_without_inputs_is_no_fault() {
        let schema = Arc::new(SchemaBuilder::new("film", 1).build());
        Wanderer::new(Arc::clone(&schema), 1).think(&mut Input::neutral(Arc::clone(&schema)));
    }
}
