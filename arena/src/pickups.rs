//! Supplies that lie on the map, are taken, and come back.

use netcode::replication::EntityId;

use crate::fighter::Fighter;
use crate::map::{Cell, Supply};
use crate::rate::Rate;

/// How near a player must come to take a supply, in metres.
const REACH_M: f32 = 0.8;

/// One supply's place.
#[derive(Debug, Clone)]
pub struct Pickup {
    /// Its entity.
    pub entity: EntityId,
    /// What lies there.
    pub supply: Supply,
    /// Where.
    pub cell: Cell,
    /// Ticks until it is back; 0 when it is there.
    pub back_in: u16,
}

impl Pickup {
    /// Counts the wait down, or gives the supply to the nearest fighter in reach who needs it; returns that fighter's
    /// place. Between two at the same distance the lower seat takes it.
    pub fn offer(&mut self, fighters: &mut [Fighter], rate: Rate) -> Option<usize> {
        if self.back_in > 0 {
            self.back_in -= 1;
            return None;
        }
        let (x, y) = self.cell.centre();
        let distance2 = |fighter: &Fighter| square(fighter.body.x - x) + square(fighter.body.y - y);
        let mut near: Vec<usize> = (0..fighters.len())
            .filter(|place| fighters[*place].body.alive && distance2(&fighters[*place]) <= REACH_M * REACH_M)
            .collect();
        near.sort_by(|a, b| distance2(&fighters[*a]).total_cmp(&distance2(&fighters[*b])));
        let taker = near.into_iter().find(|place| fighters[*place].take(self.supply))?;
        self.back_in = rate.ticks(match self.supply {
            Supply::Health => 10.0,
            Supply::Rounds => 6.0,
            Supply::Rockets => 12.0,
        });
        Some(taker)
    }
}

fn square(x: f32) -> f32 {
    x * x
}
