//! How a bot plays: it hunts the nearest enemy, aims like a person, shoots, dodges, and fetches what it needs.

use std::f32::consts::{PI, TAU};

use arena::map::{Map, Supply};
use arena::movement::Controls;
use arena::random::Random;
use arena::rate::Rate;
use arena::weapons::Weapon;
use netcode::replication::EntityId;

use crate::route::Route;
use crate::sight::{Enemy, Sight};

/// From seeing an enemy to shooting at it, in seconds.
const REACTION_S: f32 = 0.22;
/// Fastest turn of the aim in radians per second.
const TURN_RAD_PER_S: f32 = 9.0;
/// How far the aim strays from where it should be, in radians (standard deviation, roughly).
const AIM_ERROR_RAD: f32 = 0.07;
/// How quickly the aim's error changes, per second.
const AIM_ERROR_CHANGE_PER_S: f32 = 4.0;
/// The trigger is pulled when the aim is this near to where the bot believes it should be, in radians.
const TRIGGER_RAD: f32 = 0.12;
/// Distances in metres that a bot likes to fight at.
const FIGHT_M: (f32, f32) = (4.0, 9.0);
/// Distances in metres at which a rocket is worth it: nearer, its burst hurts the own side's hands.
const ROCKET_M: (f32, f32) = (4.0, 11.0);
/// Below this health a bot prefers a health pickup to a fight.
const HURT: f32 = 35.0;

/// One bot's mind. The same seed and the same sights give the same play.
#[derive(Debug, Clone)]
pub struct Brain {
    random: Random,
    tick_s: f32,
    rate: Rate,
    aim: f32,
    aim_error: f32,
    target: Option<(EntityId, f32)>,
    /// Side step: −1 or 1, and ticks until the next choice.
    strafe: (f32, u16),
    /// Whether the rocket launcher is preferred, and ticks until the next choice.
    rocket: (bool, u16),
    route: Option<Route>,
    roam: (f32, f32),
    health_before: f32,
}

impl Brain {
    /// A mind of its own for this seed.
    pub fn new(seed: u64, rate: Rate) -> Self {
        Self {
            random: Random::new(seed),
            tick_s: rate.tick_s(),
            rate,
            aim: 0.0,
            aim_error: 0.0,
            target: None,
            strafe: (1.0, 0),
            rocket: (false, 0),
            route: None,
            roam: (0.0, 0.0),
            health_before: 0.0,
        }
    }

    /// The controls for one tick.
    pub fn think(&mut self, sight: &Sight, map: &Map) -> Controls {
        if sight.own.health <= 0.0 {
            (self.target, self.route) = (None, None);
            self.health_before = 0.0;
            return Controls { aim: self.aim, ..Controls::default() };
        }
        self.change_mood();
        let was_hurt = sight.own.health < self.health_before;
        self.health_before = sight.own.health;
        let enemy = nearest_visible(sight, map);
        self.notice(enemy.as_ref());
        let (right, up) = self.walk(sight, enemy.as_ref(), map);
        let mut controls = Controls { right, up, aim: self.aim, ..Controls::default() };
        match &enemy {
            Some(enemy) => self.fight(sight, enemy, &mut controls),
            None if right != 0.0 || up != 0.0 => self.turn_to(up.atan2(right)),
            None => {}
        }
        controls.aim = self.aim.rem_euclid(TAU);
        // A dash out of the line of fire, and now and then one just to get there sooner.
        let wants_dash = was_hurt || self.random.below(u32::from(self.rate.ticks(6.0))) == 0;
        controls.dash = wants_dash && sight.own.can_dash;
        controls
    }

    /// Changes what a player changes every now and then: side step, weapon, error of the aim.
    fn change_mood(&mut self) {
        let unit = self.random.signed_unit();
        self.aim_error += (unit * AIM_ERROR_RAD * 3.0 - self.aim_error) * AIM_ERROR_CHANGE_PER_S * self.tick_s;
        self.strafe.1 = self.strafe.1.saturating_sub(1);
        if self.strafe.1 == 0 {
            let side = if self.random.below(2) == 0 { -1.0 } else { 1.0 };
            self.strafe = (side, self.rate.ticks(0.4) + self.random.below(u32::from(self.rate.ticks(0.8))) as u16);
        }
        self.rocket.1 = self.rocket.1.saturating_sub(1);
        if self.rocket.1 == 0 {
            self.rocket = (self.random.below(3) == 0, self.rate.ticks(1.5));
        }
    }

    /// Counts how long the same enemy has been in sight.
    fn notice(&mut self, enemy: Option<&Enemy>) {
        self.target = enemy.map(|enemy| match self.target {
            Some((known, seen_s)) if known == enemy.entity => (known, seen_s + self.tick_s),
            _ => (enemy.entity, 0.0),
        });
    }

    /// Where to walk: to what is needed, around an enemy in sight, towards one that is not, or about.
    fn walk(&mut self, sight: &Sight, enemy: Option<&Enemy>, map: &Map) -> (f32, f32) {
        if let Some(goal) = self.errand(sight) {
            return self.follow(goal, sight, map);
        }
        if let Some(enemy) = enemy {
            return self.circle(sight.own.at, enemy.at);
        }
        let nearest =
            sight.enemies.iter().min_by(|a, b| distance(a.at, sight.own.at).total_cmp(&distance(b.at, sight.own.at)));
        if let Some(hidden) = nearest {
            return self.follow(hidden.at, sight, map);
        }
        if self.roam == (0.0, 0.0) || distance(self.roam, sight.own.at) < 1.5 {
            let places = map.supplies();
            let choice = self.random.below(places.len() as u32) as usize;
            self.roam = places.get(choice).map_or(self.roam, |(_, cell)| cell.centre());
        }
        self.follow(self.roam, sight, map)
    }

    /// The nearest supply that the bot badly needs.
    fn errand(&self, sight: &Sight) -> Option<(f32, f32)> {
        let own = &sight.own;
        let needed = |supply: Supply| match supply {
            Supply::Health => own.health < HURT,
            Supply::Rounds => own.rounds < 8.0,
            Supply::Rockets => own.rounds < 8.0 && own.rockets < 1.0,
        };
        let places = sight.supplies.iter().filter(|(supply, _)| needed(*supply)).map(|(_, at)| *at);
        places.min_by(|a, b| distance(*a, own.at).total_cmp(&distance(*b, own.at)))
    }

    fn follow(&mut self, goal: (f32, f32), sight: &Sight, map: &Map) -> (f32, f32) {
        let route = match self.route.take().filter(|route| route.leads_to(goal)) {
            Some(route) => route,
            None => Route::to(goal, map),
        };
        let direction = route.direction(sight.own.at, map).unwrap_or_else(|| {
            let apart = distance(goal, sight.own.at);
            if apart < 0.2 {
                (0.0, 0.0)
            } else {
                ((goal.0 - sight.own.at.0) / apart, (goal.1 - sight.own.at.1) / apart)
            }
        });
        self.route = Some(route);
        direction
    }

    /// Side steps around an enemy, and nearer or farther as the bot likes it.
    fn circle(&self, own: (f32, f32), enemy: (f32, f32)) -> (f32, f32) {
        let apart = distance(own, enemy).max(0.01);
        let (dx, dy) = ((enemy.0 - own.0) / apart, (enemy.1 - own.1) / apart);
        let approach = if apart > FIGHT_M.1 {
            0.7
        } else if apart < FIGHT_M.0 {
            -0.7
        } else {
            0.0
        };
        (dx * approach - dy * self.strafe.0, dy * approach + dx * self.strafe.0)
    }

    /// Aims ahead of the enemy by the projectile's flight, with an error, and shoots when that looks right.
    fn fight(&mut self, sight: &Sight, enemy: &Enemy, controls: &mut Controls) {
        let apart = distance(sight.own.at, enemy.at);
        let likes_rocket = self.rocket.0 && (ROCKET_M.0..ROCKET_M.1).contains(&apart) && sight.own.rockets >= 1.0;
        controls.rocket = likes_rocket || (sight.own.rounds < 1.0 && sight.own.rockets >= 1.0);
        let weapon = if controls.rocket { Weapon::Rocket } else { Weapon::Rifle };
        let flight_s = apart / weapon.traits().speed_m_per_s;
        let ahead = (enemy.at.0 + enemy.velocity.0 * flight_s, enemy.at.1 + enemy.velocity.1 * flight_s);
        let wanted = (ahead.1 - sight.own.at.1).atan2(ahead.0 - sight.own.at.0) + self.aim_error;
        self.turn_to(wanted);
        let has_reacted = self.target.is_some_and(|(_, seen_s)| seen_s >= REACTION_S);
        let is_aimed = turn(self.aim, wanted).abs() < TRIGGER_RAD;
        controls.fire = sight.is_playing && has_reacted && is_aimed && !enemy.protected;
    }

    fn turn_to(&mut self, wanted: f32) {
        let most = TURN_RAD_PER_S * self.tick_s;
        self.aim += turn(self.aim, wanted).clamp(-most, most);
    }
}

/// The nearest enemy that no wall hides.
fn nearest_visible(sight: &Sight, map: &Map) -> Option<Enemy> {
    let visible = sight.enemies.iter().filter(|enemy| map.sees(sight.own.at, enemy.at));
    visible.min_by(|a, b| distance(a.at, sight.own.at).total_cmp(&distance(b.at, sight.own.at))).copied()
}

fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// The shorter turn from one direction to another, −π to π.
fn turn(from: f32, to: f32) -> f32 {
    (to - from + PI).rem_euclid(TAU) - PI
}

#[cfg(test)]
mod tests {
    use arena::map_generation::generate;

    use super::*;
    use crate::sight::Own;

    fn rate() -> Rate {
        Rate::new(60).expect("allowed")
    }

    fn sight_of(own: (f32, f32), enemies: &[(f32, f32)]) -> Sight {
        let own = Own { at: own, health: 100.0, rounds: 60.0, rockets: 0.0, can_dash: true };
        let enemies = enemies.iter().zip(0..).map(|(at, index)| Enemy {
            entity: EntityId::new(index, 0),
            at: *at,
            velocity: (0.0, 0.0),
            protected: false,
        });
        Sight { own, enemies: enemies.collect(), supplies: Vec::new(), is_playing: true }
    }

    /// Two points in the free corner of every map.
    const HERE: (f32, f32) = (2.0, 2.0);
    const THERE: (f32, f32) = (5.0, 2.0);

    #[test]
    fn it_reacts_late_then_aims_at_the_enemy_with_a_human_error() {
        let map = generate(1, 2);
        let mut brain = Brain::new(3, rate());
        let sight = sight_of(HERE, &[THERE]);
        let thoughts: Vec<_> = (0..600).map(|_| brain.think(&sight, &map)).collect();
        let first = thoughts.iter().position(|controls| controls.fire).expect("it shoots");
        assert!(first as f32 * rate().tick_s() >= REACTION_S - 0.02, "shot after {first} ticks");
        let errors: Vec<f32> = thoughts.iter().filter(|c| c.fire).map(|c| turn(0.0, c.aim).abs()).collect();
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        assert!((0.005..0.2).contains(&mean), "mean error of {mean} rad is not human");
    }

    #[test]
    fn it_does_not_shoot_at_the_protected_the_hidden_or_before_play() {
        let map = generate(1, 2);
        let shoots = |sight: &Sight| {
            let mut brain = Brain::new(3, rate());
            (0..300).any(|_| brain.think(sight, &map).fire)
        };
        let mut sight = sight_of(HERE, &[THERE]);
        assert!(shoots(&sight));
        sight.is_playing = false;
        assert!(!shoots(&sight));
        sight.is_playing = true;
        sight.enemies[0].protected = true;
        assert!(!shoots(&sight));
        let hidden = (map.spawns()[2].cell.centre().0, 100.0);
        assert!(!shoots(&sight_of(HERE, &[hidden])));
    }

    #[test]
    fn the_hurt_fetch_health_and_the_dead_do_nothing() {
        let map = generate(1, 2);
        let mut brain = Brain::new(3, rate());
        let mut sight = sight_of(HERE, &[]);
        sight.own.health = 10.0;
        sight.supplies.push((Supply::Health, (2.0, 5.0)));
        let controls = brain.think(&sight, &map);
        assert!(controls.up > 0.5, "it walks away from the supply: {controls:?}");
        sight.own.health = 0.0;
        let controls = brain.think(&sight, &map);
        assert!(!controls.fire && !controls.dash && controls.right == 0.0 && controls.up == 0.0);
    }

    #[test]
    fn the_same_seed_plays_the_same() {
        let map = generate(1, 2);
        let play = |seed| {
            let mut brain = Brain::new(seed, rate());
            (0..200).map(|_| brain.think(&sight_of(HERE, &[THERE]), &map)).collect::<Vec<_>>()
        };
        assert_eq!(play(5), play(5));
        assert_ne!(play(5), play(6));
    }
}
