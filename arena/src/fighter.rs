//! One player within the match: the body, what it carries, and what it has done.

use game::SeatId;
use netcode::replication::EntityId;

use crate::map::Supply;
use crate::movement::{Body, Controls};
use crate::rate::Rate;
use crate::weapons::Weapon;

/// Full health.
pub const HEALTH_MAX: u16 = 100;
/// From death to the next entrance in seconds.
pub const RESPAWN_S: f32 = 2.0;
/// How long a player who enters cannot be hurt, in seconds; ends with the first shot.
pub const PROTECTED_S: f32 = 1.5;

/// A player within the match.
#[derive(Debug, Clone)]
pub struct Fighter {
    /// The seat.
    pub seat: SeatId,
    /// Side that it fights for.
    pub side: usize,
    /// The avatar; none before the player joins and after it leaves.
    pub entity: Option<EntityId>,
    /// The player left for good, or for as long as it does not join again.
    pub has_left: bool,
    /// What moves.
    pub body: Body,
    /// The direction of the aim in radians.
    pub aim: f32,
    /// 0 when dead.
    pub health: u16,
    /// Ammunition by weapon.
    pub ammo: [u16; 2],
    /// The weapon in hand.
    pub weapon: Weapon,
    /// Ticks until the next shot.
    pub fire_wait: u16,
    /// Ticks of protection left.
    pub protected: u16,
    /// Ticks until a dead player enters again.
    pub respawn_wait: u16,
    /// What it has done.
    pub stats: Stats,
}

/// What a player has done in the match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Players of other sides killed.
    pub kills: u32,
    /// Own deaths, by whomever.
    pub deaths: u32,
    /// Own deaths by the own rocket.
    pub suicides: u32,
    /// Health taken from others.
    pub damage: u32,
    /// Shots fired.
    pub shots: u32,
    /// Shots that hurt somebody of another side.
    pub hits: u32,
    /// Supplies taken.
    pub pickups: u32,
    /// Metres run.
    pub distance_m: f64,
}

impl Fighter {
    /// A player of the roster who is not there yet.
    pub fn absent(seat: SeatId, side: usize) -> Self {
        Self {
            seat,
            side,
            entity: None,
            has_left: false,
            body: Body { alive: false, ..Body::standing_at((0.0, 0.0)) },
            aim: 0.0,
            health: 0,
            ammo: [0; 2],
            weapon: Weapon::Rifle,
            fire_wait: 0,
            protected: 0,
            respawn_wait: 0,
            stats: Stats::default(),
        }
    }

    /// Enters alive, healthy and armed.
    pub fn enter(&mut self, at: (f32, f32), rate: Rate) {
        self.body = Body::standing_at(at);
        self.health = HEALTH_MAX;
        self.ammo = Weapon::ALL.map(|weapon| weapon.traits().ammo_start);
        self.fire_wait = 0;
        self.protected = rate.ticks(PROTECTED_S);
    }

    /// Takes aim and weapon from the controls, and counts the waits down.
    pub fn prepare(&mut self, controls: &Controls) {
        self.aim = controls.aim;
        self.weapon = if controls.rocket { Weapon::Rocket } else { Weapon::Rifle };
        self.fire_wait = self.fire_wait.saturating_sub(1);
        self.protected = self.protected.saturating_sub(1);
    }

    /// Fires the weapon in hand if it can; the caller makes the projectile.
    pub fn fire(&mut self, rate: Rate) -> bool {
        let ammo = &mut self.ammo[self.weapon as usize];
        if !self.body.alive || self.fire_wait > 0 || *ammo == 0 {
            return false;
        }
        *ammo -= 1;
        self.fire_wait = rate.ticks(self.weapon.traits().wait_s);
        self.protected = 0;
        self.stats.shots += 1;
        true
    }

    /// Loses health; returns how much was really lost. Nobody loses more than there is, nor while protected.
    pub fn hurt(&mut self, damage: u16) -> u16 {
        if !self.body.alive || self.protected > 0 {
            return 0;
        }
        let lost = damage.min(self.health);
        self.health -= lost;
        lost
    }

    /// Dies; the body stays where it fell until the next entrance.
    pub fn die(&mut self, rate: Rate) {
        self.body.alive = false;
        self.health = 0;
        (self.body.vx, self.body.vy, self.body.dash_left) = (0.0, 0.0, 0);
        self.respawn_wait = rate.ticks(RESPAWN_S);
        self.stats.deaths += 1;
    }

    /// Takes a supply; false when there is no need of it.
    pub fn take(&mut self, supply: Supply) -> bool {
        let (have, most, gain) = match supply {
            Supply::Health => (&mut self.health, HEALTH_MAX, 40),
            Supply::Rounds => (&mut self.ammo[0], Weapon::Rifle.traits().ammo_max, 40),
            Supply::Rockets => (&mut self.ammo[1], Weapon::Rocket.traits().ammo_max, 3),
        };
        if *have >= most {
            return false;
        }
        *have = (*have + gain).min(most);
        self.stats.pickups += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_ends_with_the_first_shot_and_ammunition_runs_out() {
        let rate = Rate::new(60).expect("allowed");
        let mut fighter = Fighter::absent(SeatId(0), 0);
        assert!(!fighter.fire(rate), "the absent do not shoot");
        fighter.enter((5.5, 5.5), rate);
        assert_eq!(fighter.hurt(50), 0);
        let mut shots = 0;
        for _ in 0..6_000 {
            fighter.prepare(&Controls::default());
            shots += u16::from(fighter.fire(rate));
        }
        assert_eq!(shots, Weapon::Rifle.traits().ammo_start);
        assert_eq!((fighter.hurt(70), fighter.hurt(70), fighter.health), (70, 30, 0));
    }

    #[test]
    fn a_supply_is_taken_only_when_it_helps() {
        let mut fighter = Fighter::absent(SeatId(0), 0);
        fighter.enter((5.5, 5.5), Rate::new(60).expect("allowed"));
        assert!(!fighter.take(Supply::Health));
        fighter.health = 90;
        assert!(fighter.take(Supply::Health) && fighter.health == HEALTH_MAX);
        assert!(fighter.take(Supply::Rockets) && fighter.ammo[1] == 6);
        assert_eq!(fighter.stats.pickups, 2);
    }
}
