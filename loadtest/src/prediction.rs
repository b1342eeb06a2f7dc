//! The arena's rules for the client's prediction.

use arena::input::controls;
use arena::movement::{self, Body};
use arena::prediction;
use arena::welcome::Welcome;
use client::Predict;
use game::Input;
use netcode::replication::{EntityId, View};

/// Predicts the own avatar as the arena moves it.
#[derive(Debug, Clone)]
pub struct ArenaPrediction {
    /// Map and tick rate.
    pub welcome: Welcome,
}

impl Predict for ArenaPrediction {
    type State = Body;

    fn read(&self, view: &View, entity: EntityId) -> Option<Body> {
        prediction::read(view, entity)
    }

    fn step(&self, body: &Body, input: &Input) -> Body {
        movement::step(body, &controls(input), &self.welcome.map, self.welcome.rate)
    }

    fn error(&self, a: &Body, b: &Body) -> f32 {
        prediction::error(a, b)
    }

    fn blend(&self, from: &Body, to: &Body, part: f32) -> Body {
        prediction::blend(from, to, part)
    }

    fn jump(&self) -> f32 {
        prediction::JUMP_M
    }
}
