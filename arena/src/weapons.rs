//! The two weapons, and how what they shoot flies and hurts.

use netcode::replication::EntityId;

use crate::fighter::Fighter;
use crate::map::Map;
use crate::rate::Rate;
use crate::trig;

/// Radius of the circle in which a player is hit, in metres.
pub const BODY_RADIUS_M: f32 = 0.45;

/// A weapon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weapon {
    /// Fast rounds, a little scattered.
    Rifle,
    /// Slow rockets that hurt everyone near where they burst, their owner too.
    Rocket,
}

/// What a weapon can do.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Speed of what it shoots in metres per second.
    pub speed_m_per_s: f32,
    /// From one shot to the next in seconds.
    pub wait_s: f32,
    /// How long what it shoots flies, in seconds.
    pub life_s: f32,
    /// Health taken by a hit.
    pub damage: u16,
    /// Most that a shot strays from the aim, in radians.
    pub scatter_rad: f32,
    /// Radius of the burst in metres; 0 for none.
    pub burst_m: f32,
    /// Health taken at the middle of the burst; falls to nothing at its rim.
    pub burst_damage: f32,
    /// Ammunition of a player who enters.
    pub ammo_start: u16,
    /// Most ammunition that can be carried.
    pub ammo_max: u16,
}

impl Weapon {
    /// Every weapon, in order of number.
    pub const ALL: [Self; 2] = [Self::Rifle, Self::Rocket];

    /// The weapon with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// What it can do. Nine rifle hits kill, or two rockets.
    pub fn traits(self) -> Traits {
        match self {
            Self::Rifle => Traits {
                speed_m_per_s: 32.0,
                wait_s: 0.125,
                life_s: 0.75,
                damage: 12,
                scatter_rad: 0.035,
                burst_m: 0.0,
                burst_damage: 0.0,
                ammo_start: 60,
                ammo_max: 120,
            },
            Self::Rocket => Traits {
                speed_m_per_s: 16.0,
                wait_s: 0.9,
                life_s: 1.5,
                damage: 40,
                scatter_rad: 0.0,
                burst_m: 2.5,
                burst_damage: 40.0,
                ammo_start: 3,
                ammo_max: 8,
            },
        }
    }
}

/// Something shot, on its way.
#[derive(Debug, Clone)]
pub struct Projectile {
    /// Its entity.
    pub entity: EntityId,
    /// What it came from.
    pub weapon: Weapon,
    /// Place of its owner among the fighters.
    pub owner: usize,
    /// The owner's side: it passes through friends.
    pub side: usize,
    /// Where it is, in metres.
    pub at: (f32, f32),
    /// Direction of flight in radians.
    pub angle: f32,
    /// Ticks until it is spent.
    pub ticks_left: u16,
}

/// What became of a projectile in one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flight {
    /// It flies on.
    On,
    /// It is spent, or met a wall.
    Ended,
    /// It met this fighter.
    Hit(usize),
}

impl Projectile {
    /// Flies for one tick; the first thing on the way counts, however fast it is.
    pub fn fly(&mut self, map: &Map, fighters: &[Fighter], rate: Rate) -> Flight {
        let (x, y) = trig::direction(self.angle);
        let length = self.weapon.traits().speed_m_per_s * rate.tick_s();
        let way = (x * length, y * length);
        let free = map.free_way(self.at, (self.at.0 + way.0, self.at.1 + way.1));
        let hit = fighters
            .iter()
            .enumerate()
            .filter(|(_, fighter)| fighter.side != self.side && fighter.body.alive)
            .filter_map(|(place, fighter)| Some((meets(self.at, way, fighter.body.position())?, place)))
            .filter(|(part, _)| *part <= free)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        // A burst is placed a little before a wall, so that the wall does not shield everyone from it.
        let part = hit.map_or(if free < 1.0 { (free - 0.05 / length).max(0.0) } else { 1.0 }, |(part, _)| part);
        self.at = (self.at.0 + way.0 * part, self.at.1 + way.1 * part);
        self.ticks_left = self.ticks_left.saturating_sub(1);
        match hit {
            Some((_, place)) => Flight::Hit(place),
            None if free < 1.0 || self.ticks_left == 0 => Flight::Ended,
            None => Flight::On,
        }
    }

    /// Health that its burst takes from a fighter; 0 behind a wall or out of reach.
    pub fn burst_damage(&self, map: &Map, fighter: &Fighter) -> u16 {
        let Traits { burst_m, burst_damage, .. } = self.weapon.traits();
        let (dx, dy) = (fighter.body.x - self.at.0, fighter.body.y - self.at.1);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance >= burst_m || !map.sees(self.at, fighter.body.position()) {
            return 0;
        }
        (burst_damage * (1.0 - distance / burst_m)) as u16
    }
}

/// At which part of the way a point meets the circle of a body: 0 when it begins inside.
fn meets(from: (f32, f32), way: (f32, f32), middle: (f32, f32)) -> Option<f32> {
    let to_middle = (middle.0 - from.0, middle.1 - from.1);
    let apart2 = to_middle.0 * to_middle.0 + to_middle.1 * to_middle.1 - BODY_RADIUS_M * BODY_RADIUS_M;
    if apart2 <= 0.0 {
        return Some(0.0);
    }
    // |from + t·way − middle|² = radius², the smaller t.
    let length2 = way.0 * way.0 + way.1 * way.1;
    let along = way.0 * to_middle.0 + way.1 * to_middle.1;
    let root2 = along * along - length2 * apart2;
    if along <= 0.0 || root2 < 0.0 {
        return None;
    }
    let part = (along - root2.sqrt()) / length2;
    (part <= 1.0).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_projectile_does_not_skip_a_body() {
        let part = meets((0.0, 0.0), (100.0, 0.0), (50.0, 0.3)).expect("the way leads through the body");
        assert!((part * 100.0 - 49.66).abs() < 0.01, "met at {part}");
        assert_eq!(meets((0.0, 0.0), (100.0, 0.0), (50.0, 0.5)), None);
        assert_eq!(meets((0.0, 0.0), (-100.0, 0.0), (50.0, 0.0)), None, "behind");
        assert_eq!(meets((0.0, 0.0), (10.0, 0.0), (50.0, 0.0)), None, "too far for one tick");
        assert_eq!(meets((0.0, 0.0), (10.0, 0.0), (0.1, 0.0)), Some(0.0));
    }
}
