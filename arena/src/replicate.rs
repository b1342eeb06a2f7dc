//! Writes the match into the world that clients see, once per tick.

use netcode::replication::{EntityId, World};

use crate::fighter::Fighter;
use crate::pickups::Pickup;
use crate::rate::Rate;
use crate::rules::{self, Clock};
use crate::schema::{pickup, player, projectile, status};
use crate::weapons::Projectile;

/// Writes a fighter into its avatar, if it has one.
pub(crate) fn fighter(fighter: &Fighter, world: &mut World) {
    let Some(entity) = fighter.entity else { return };
    let body = &fighter.body;
    world.set(entity, player::X, body.x);
    world.set(entity, player::Y, body.y);
    world.set(entity, player::AIM_ANGLE, fighter.aim);
    world.set(entity, player::VX, body.vx);
    world.set(entity, player::VY, body.vy);
    world.set_int(entity, player::DASH_WAIT, i64::from(body.dash_wait));
    world.set_int(entity, player::DASH_LEFT, i64::from(body.dash_left));
    world.set_int(entity, player::FIRE_WAIT, i64::from(fighter.fire_wait));
    world.set_int(entity, player::ROUNDS, i64::from(fighter.ammo[0]));
    world.set_int(entity, player::HEALTH, i64::from(fighter.health));
    world.set_int(entity, player::WEAPON, fighter.weapon as i64);
    world.set_int(entity, player::ROCKETS, i64::from(fighter.ammo[1]));
    world.set_int(entity, player::PROTECTED, i64::from(fighter.protected > 0));
    world.set_int(entity, player::KILLS, i64::from(fighter.stats.kills));
    world.set_int(entity, player::DEATHS, i64::from(fighter.stats.deaths));
    world.set_int(entity, player::SEAT, i64::from(fighter.seat.0));
    world.set_int(entity, player::SIDE, fighter.side as i64);
}

/// Writes a projectile.
pub(crate) fn projectile(flying: &Projectile, seat: u8, world: &mut World) {
    world.set(flying.entity, projectile::X, flying.at.0);
    world.set(flying.entity, projectile::Y, flying.at.1);
    world.set(flying.entity, projectile::ANGLE, flying.angle);
    world.set_int(flying.entity, projectile::WEAPON, flying.weapon as i64);
    world.set_int(flying.entity, projectile::SEAT, i64::from(seat));
}

/// Writes a pickup.
pub(crate) fn pickup(lying: &Pickup, world: &mut World) {
    let (x, y) = lying.cell.centre();
    world.set_int(lying.entity, pickup::READY, i64::from(lying.back_in == 0));
    world.set(lying.entity, pickup::X, x);
    world.set(lying.entity, pickup::Y, y);
    world.set_int(lying.entity, pickup::SUPPLY, lying.supply as i64);
}

/// Writes phase, clock and the first four sides' scores.
pub(crate) fn status(entity: EntityId, clock: &Clock, fighters: &[Fighter], rate: Rate, world: &mut World) {
    world.set_int(entity, status::PHASE, clock.phase() as i64);
    world.set_int(entity, status::SECONDS_LEFT, i64::from(clock.seconds_left(rate)));
    for (field, score) in (status::SCORE_0..=status::SCORE_3).zip(rules::side_scores(fighters)) {
        world.set_int(entity, field, i64::from(score));
    }
}
