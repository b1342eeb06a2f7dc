//! The match: what happens in one tick, and in which order.
//!
//! 1. the clock; 2. entrances; 3. everyone moves, then aims and shoots; 4. projectiles fly, hurt and kill;
//! 5. supplies are taken; 6. the world is written. Within a phase the order is that of the seats.

use game::{Outbox, SeatId, To};
use netcode::replication::{EntityId, World, WorldFull};
use xxhash_rust::xxh3::Xxh3;

use crate::event::Event;
use crate::fighter::Fighter;
use crate::map::Map;
use crate::movement::{self, Controls};
use crate::pickups::Pickup;
use crate::random::Random;
use crate::rate::Rate;
use crate::replicate;
use crate::rules::{Clock, Phase};
use crate::schema::{MATCH, PICKUP, PLAYER, PROJECTILE, pickup, player, projectile};
use crate::weapons::{Flight, Projectile};

/// How far a player sees along each axis, in metres; own friends are seen everywhere.
pub const VIEW_M: f32 = 16.0;

/// One match's state.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// Walls, entrances and places of supplies.
    pub map: Map,
    /// Ticks per second.
    pub rate: Rate,
    /// Phases and time.
    pub clock: Clock,
    /// Every player of the roster, in its order.
    pub fighters: Vec<Fighter>,
    projectiles: Vec<Projectile>,
    pickups: Vec<Pickup>,
    status: EntityId,
    random: Random,
    /// Corner that each side enters from; none: from everywhere.
    corners: Option<Vec<u8>>,
}

impl Simulation {
    /// A match in warm-up, with nobody there. `corners` names the corner of each side, or nothing when everyone fights
    /// alone and enters anywhere.
    ///
    /// # Errors
    /// [`WorldFull`] when the world does not even hold the supplies.
    pub fn new(
        map: Map,
        clock: Clock,
        rate: Rate,
        fighters: Vec<Fighter>,
        corners: Option<Vec<u8>>,
        seed: u64,
        world: &mut World,
    ) -> Result<Self, WorldFull> {
        let status = world.spawn(MATCH, None)?;
        let mut pickups = Vec::new();
        for (supply, cell) in map.supplies() {
            let entity = world.spawn(PICKUP, None)?;
            pickups.push(Pickup { entity, supply: *supply, cell: *cell, back_in: 0 });
        }
        let random = Random::new(seed);
        let simulation = Self { map, rate, clock, fighters, projectiles: Vec::new(), pickups, status, random, corners };
        simulation.write(world);
        Ok(simulation)
    }

    /// The place of a seat among the fighters.
    pub fn place(&self, seat: SeatId) -> Option<usize> {
        self.fighters.iter().position(|fighter| fighter.seat == seat)
    }

    /// A player arrives, or comes back. Joining twice changes nothing.
    pub fn join(&mut self, seat: SeatId, world: &mut World) {
        let Some(place) = self.place(seat) else { return };
        if self.fighters[place].entity.is_some() {
            return;
        }
        // The world is made for all players at once, so this fails only in a room that was set up too small; then
        // the player watches.
        let Ok(entity) = world.spawn(PLAYER, Some(seat)) else { return };
        self.fighters[place].entity = Some(entity);
        self.fighters[place].has_left = false;
        self.enter(place);
        replicate::fighter(&self.fighters[place], world);
    }

    /// A player leaves; it keeps what it has done.
    pub fn leave(&mut self, seat: SeatId, world: &mut World) {
        let Some(place) = self.place(seat) else { return };
        let fighter = &mut self.fighters[place];
        fighter.has_left = true;
        fighter.body.alive = false;
        fighter.health = 0;
        if let Some(entity) = fighter.entity.take() {
            world.despawn(entity);
        }
    }

    /// One tick.
    pub fn step(&mut self, controls: &dyn Fn(SeatId) -> Controls, world: &mut World, outbox: &mut Outbox) {
        if let Some(phase) = self.clock.step(&self.fighters) {
            if phase == Phase::Play {
                self.begin_play();
            }
            outbox.send(To::All, &Event::Phase(phase).to_bytes());
        }
        if self.clock.phase() == Phase::Over {
            self.write(world);
            return;
        }
        for place in 0..self.fighters.len() {
            if self.fighters[place].entity.is_some() {
                let controls = controls(self.fighters[place].seat);
                self.act(place, &controls, world);
            }
        }
        self.fly(world, outbox);
        if self.clock.phase() == Phase::Play {
            self.offer(outbox);
        }
        self.write(world);
    }

    /// Everyone starts afresh at an entrance.
    fn begin_play(&mut self) {
        for place in 0..self.fighters.len() {
            self.fighters[place].body.alive = false;
        }
        for place in 0..self.fighters.len() {
            if self.fighters[place].entity.is_some() {
                self.enter(place);
            }
        }
    }

    /// Enters at that entrance of its side whose nearest living player is farthest away.
    fn enter(&mut self, place: usize) {
        let corner = self.corners.as_ref().and_then(|corners| corners.get(self.fighters[place].side).copied());
        let nearest = |at: (f32, f32)| {
            let others = self.fighters.iter().filter(|other| other.body.alive);
            let distances = others.map(|other| square(other.body.x - at.0) + square(other.body.y - at.1));
            distances.fold(f32::INFINITY, f32::min)
        };
        let spawns = self.map.spawns().iter().filter(|spawn| corner.is_none_or(|corner| spawn.corner == corner));
        let mut best: Option<((f32, f32), f32)> = None;
        for at in spawns.map(|spawn| spawn.cell.centre()) {
            let distance = nearest(at);
            if best.is_none_or(|(_, farthest)| distance > farthest) {
                best = Some((at, distance));
            }
        }
        if let Some((at, _)) = best {
            self.fighters[place].enter(at, self.rate);
        }
    }

    /// One player's tick: enter again, or move, aim and shoot.
    fn act(&mut self, place: usize, controls: &Controls, world: &mut World) {
        let fighter = &mut self.fighters[place];
        if !fighter.body.alive {
            fighter.respawn_wait = fighter.respawn_wait.saturating_sub(1);
            if fighter.respawn_wait == 0 {
                self.enter(place);
            }
            return;
        }
        let before = fighter.body.position();
        fighter.body = movement::step(&fighter.body, controls, &self.map, self.rate);
        let moved2 = square(fighter.body.x - before.0) + square(fighter.body.y - before.1);
        fighter.stats.distance_m += f64::from(moved2.sqrt());
        fighter.prepare(controls);
        if controls.fire && self.clock.phase() == Phase::Play {
            self.shoot(place, world);
        }
    }

    fn shoot(&mut self, place: usize, world: &mut World) {
        let fighter = &mut self.fighters[place];
        // The entity first: a shot that the world has no room for costs no ammunition.
        let Ok(entity) = world.spawn(PROJECTILE, None) else { return };
        if !fighter.fire(self.rate) {
            world.despawn(entity);
            return;
        }
        let traits = fighter.weapon.traits();
        self.projectiles.push(Projectile {
            entity,
            weapon: fighter.weapon,
            owner: place,
            side: fighter.side,
            at: fighter.body.position(),
            angle: fighter.aim + self.random.signed_unit() * traits.scatter_rad,
            ticks_left: self.rate.ticks(traits.life_s),
        });
    }

    /// All projectiles fly; those that end hurt whom they meet or reach.
    fn fly(&mut self, world: &mut World, outbox: &mut Outbox) {
        let mut flying = std::mem::take(&mut self.projectiles);
        flying.retain_mut(|projectile| {
            let flight = projectile.fly(&self.map, &self.fighters, self.rate);
            if flight == Flight::On {
                return true;
            }
            if self.clock.phase() == Phase::Play {
                self.strike(projectile, flight, outbox);
            }
            world.despawn(projectile.entity);
            false
        });
        self.projectiles = flying;
    }

    /// A projectile ends: the one who was met is hurt, and those near a burst.
    fn strike(&mut self, projectile: &Projectile, flight: Flight, outbox: &mut Outbox) {
        let mut has_hit = false;
        for place in 0..self.fighters.len() {
            let is_own = place == projectile.owner;
            let target = &self.fighters[place];
            if !target.body.alive || (target.side == projectile.side && !is_own) {
                continue;
            }
            let met = if flight == Flight::Hit(place) { projectile.weapon.traits().damage } else { 0 };
            let damage = met + projectile.burst_damage(&self.map, target);
            let lost = self.fighters[place].hurt(damage);
            if lost == 0 {
                continue;
            }
            if !is_own {
                has_hit = true;
                self.fighters[projectile.owner].stats.damage += u32::from(lost);
            }
            if self.fighters[place].health == 0 {
                self.kill(place, projectile, outbox);
            }
        }
        self.fighters[projectile.owner].stats.hits += u32::from(has_hit);
    }

    fn kill(&mut self, victim: usize, projectile: &Projectile, outbox: &mut Outbox) {
        let killer = projectile.owner;
        self.fighters[victim].die(self.rate);
        if victim == killer {
            self.fighters[victim].stats.suicides += 1;
        } else {
            self.fighters[killer].stats.kills += 1;
        }
        let (victim, killer) = (self.fighters[victim].seat, self.fighters[killer].seat);
        outbox.send(To::All, &Event::Killed { victim, killer, weapon: projectile.weapon }.to_bytes());
    }

    fn offer(&mut self, outbox: &mut Outbox) {
        for pickup in &mut self.pickups {
            if let Some(taker) = pickup.offer(&mut self.fighters, self.rate) {
                let seat = self.fighters[taker].seat;
                outbox.send(To::All, &Event::Taken { seat, supply: pickup.supply }.to_bytes());
            }
        }
    }

    fn write(&self, world: &mut World) {
        for fighter in &self.fighters {
            replicate::fighter(fighter, world);
        }
        for projectile in &self.projectiles {
            replicate::projectile(projectile, self.fighters[projectile.owner].seat.0, world);
        }
        for pickup in &self.pickups {
            replicate::pickup(pickup, world);
        }
        replicate::status(self.status, &self.clock, &self.fighters, self.rate, world);
    }

    /// Hash of what the world does not show: random numbers, clock, waits, and values finer than their fields.
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.random.state().to_le_bytes());
        hash.update(&self.clock.ticks_left().to_le_bytes());
        for projectile in &self.projectiles {
            for value in [projectile.at.0, projectile.at.1, projectile.angle] {
                hash.update(&value.to_bits().to_le_bytes());
            }
            hash.update(&projectile.ticks_left.to_le_bytes());
        }
        for fighter in &self.fighters {
            hash.update(&fighter.respawn_wait.to_le_bytes());
            hash.update(&fighter.stats.distance_m.to_bits().to_le_bytes());
            hash.update(&fighter.stats.damage.to_le_bytes());
        }
        for pickup in &self.pickups {
            hash.update(&pickup.back_in.to_le_bytes());
        }
        hash.digest()
    }

    /// Whether a player's snapshots hold an entity: the match and friends always, all else within the view.
    pub fn is_relevant(&self, seat: SeatId, entity: EntityId, world: &World) -> bool {
        let Some(place) = self.place(seat) else { return false };
        let viewer = &self.fighters[place];
        let at = |x, y| {
            let (dx, dy) = (world.get(entity, x) - viewer.body.x, world.get(entity, y) - viewer.body.y);
            dx.abs() <= VIEW_M && dy.abs() <= VIEW_M
        };
        match world.kind(entity) {
            Some(PLAYER) => world.get_int(entity, player::SIDE) == viewer.side as i64 || at(player::X, player::Y),
            Some(PROJECTILE) => at(projectile::X, projectile::Y),
            Some(PICKUP) => at(pickup::X, pickup::Y),
            _ => true,
        }
    }
}

fn square(x: f32) -> f32 {
    x * x
}
