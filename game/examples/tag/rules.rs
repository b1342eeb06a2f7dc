//! Tag: one player is "it" and chases the others; whoever was it for the shortest time wins.
//!
//! The whole game of the book's chapter "Your first game".
#![allow(unreachable_pub, reason = "a studio's game is a public type of its own crate")]

// ANCHOR: schema
use std::collections::BTreeMap;

use game::schema::{SchemaBuilder, flag, range, signed};
use game::{
    EntityId, Game, Inputs, Leave, MatchSetup, Outbox, Outcome, PlayerOutcome, Schema, SeatId, StartError, Tick, To,
    World,
};

/// The one kind of entity and its fields, by place in the schema.
pub const PLAYER: usize = 0;
pub const X: usize = 0;
pub const Y: usize = 1;
pub const IT: usize = 2;
/// The fields of an input.
pub const MOVE_X: usize = 0;
pub const MOVE_Y: usize = 1;

const FIELD_M: f32 = 20.0;
const SPEED_M_PER_S: f32 = 6.0;
const TOUCH_M: f32 = 1.0;

fn schema() -> Schema {
    let side = |name| range(name, -FIELD_M, FIELD_M, 0.01);
    SchemaBuilder::new("tag", 1)
        .kind("player", [side("x"), side("y"), flag("it")])
        .input([signed("move_x", 2), signed("move_y", 2)])
        .build()
}
// ANCHOR_END: schema

// ANCHOR: state
/// What the rules know beside the world.
pub struct Tag {
    bodies: BTreeMap<SeatId, EntityId>,
    it: Option<SeatId>,
    ticks_as_it: BTreeMap<SeatId, i64>,
    ticks_left: u64,
    ticks_safe: u32,
    tick_rate_hz: u32,
}
// ANCHOR_END: state

impl Game for Tag {
    fn schema() -> Schema {
        schema()
    }

    // ANCHOR: start
    fn start(setup: &MatchSetup, _world: &mut World) -> Result<Self, StartError> {
        if setup.players.len() < 2 {
            return Err(StartError::Refused("tag needs two players".to_owned()));
        }
        Ok(Self {
            bodies: BTreeMap::new(),
            it: None,
            ticks_as_it: setup.players.iter().map(|player| (player.seat, 0)).collect(),
            ticks_left: setup.setting_u64("seconds", 60) * u64::from(setup.tick_rate_hz),
            ticks_safe: 0,
            tick_rate_hz: setup.tick_rate_hz,
        })
    }
    // ANCHOR_END: start

    // ANCHOR: join
    fn join(&mut self, seat: SeatId, world: &mut World) {
        if let Ok(body) = world.spawn(PLAYER, Some(seat)) {
            world.set(body, X, f32::from(seat.0) * 4.0 - FIELD_M / 2.0);
            self.bodies.insert(seat, body);
            if self.it.is_none() {
                self.tag(seat, world);
            }
        }
    }

    fn leave(&mut self, seat: SeatId, _why: Leave, world: &mut World) {
        if let Some(body) = self.bodies.remove(&seat) {
            world.despawn(body);
        }
        if self.it == Some(seat) {
            self.it = None;
            if let Some(&next) = self.bodies.keys().next() {
                self.tag(next, world);
            }
        }
    }
    // ANCHOR_END: join

    // ANCHOR: step
    fn step(&mut self, _tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        let step_m = SPEED_M_PER_S / self.tick_rate_hz as f32;
        for (&seat, &body) in &self.bodies {
            let input = inputs.get(seat);
            let x = world.get(body, X) + input.get(MOVE_X).clamp(-1.0, 1.0) * step_m;
            let y = world.get(body, Y) + input.get(MOVE_Y).clamp(-1.0, 1.0) * step_m;
            world.set(body, X, x);
            world.set(body, Y, y);
        }
        self.ticks_safe = self.ticks_safe.saturating_sub(1);
        if let Some(it) = self.it {
            *self.ticks_as_it.entry(it).or_default() += 1;
            if let Some(caught) = self.caught_by(it, world).filter(|_| self.ticks_safe == 0) {
                self.tag(caught, world);
                outbox.send(To::All, &[caught.0]);
            }
        }
        self.ticks_left = self.ticks_left.saturating_sub(1);
    }
    // ANCHOR_END: step

    // ANCHOR: outcome
    fn outcome(&self) -> Option<Outcome> {
        let better = |ticks: i64| self.ticks_as_it.values().filter(|&&other| other < ticks).count() as u32;
        let players = self.ticks_as_it.iter().map(|(&seat, &ticks)| PlayerOutcome {
            seat,
            place: better(ticks) + 1,
            score: -ticks,
            stats: BTreeMap::from([("ticks_as_it".to_owned(), ticks)]),
        });
        (self.ticks_left == 0).then(|| Outcome::finished(players.collect()))
    }
    // ANCHOR_END: outcome
}

// ANCHOR: helpers
impl Tag {
    /// Makes a player "it", who may not be tagged back for a second.
    fn tag(&mut self, seat: SeatId, world: &mut World) {
        self.it = Some(seat);
        self.ticks_safe = self.tick_rate_hz;
        for (&other, &body) in &self.bodies {
            world.set_int(body, IT, i64::from(other == seat));
        }
    }

    /// Whom the player touches.
    fn caught_by(&self, it: SeatId, world: &World) -> Option<SeatId> {
        let body = *self.bodies.get(&it)?;
        let near = |other: EntityId| {
            let (dx, dy) = (world.get(other, X) - world.get(body, X), world.get(other, Y) - world.get(body, Y));
            dx * dx + dy * dy < TOUCH_M * TOUCH_M
        };
        self.bodies.iter().find(|&(&seat, &other)| seat != it && near(other)).map(|(&seat, _)| seat)
    }
}
// ANCHOR_END: helpers
