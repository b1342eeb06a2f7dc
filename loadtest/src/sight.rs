//! What a bot sees: its own avatar and the others, read from the client's columns.

use arena::map::Supply;
use arena::schema::{MATCH, PICKUP, PLAYER, pickup, player, status};
use client::Frame;
use netcode::replication::{EntityId, SeatId};

/// A bot's own avatar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Own {
    /// Where it is, in metres.
    pub at: (f32, f32),
    /// 0 when dead.
    pub health: f32,
    /// Rounds for the rifle.
    pub rounds: f32,
    /// Rockets.
    pub rockets: f32,
    /// Whether the next dash is ready.
    pub can_dash: bool,
}

/// A living player of another side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Enemy {
    /// Its avatar.
    pub entity: EntityId,
    /// Where it is shown, in metres.
    pub at: (f32, f32),
    /// Its velocity in metres per second.
    pub velocity: (f32, f32),
    /// Cannot be hurt at the moment.
    pub protected: bool,
}

/// All that a bot knows at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// Its own avatar.
    pub own: Own,
    /// The others.
    pub enemies: Vec<Enemy>,
    /// Supplies that lie there.
    pub supplies: Vec<(Supply, (f32, f32))>,
    /// Whether shots count.
    pub is_playing: bool,
}

impl Sight {
    /// Reads a frame; none while the bot has no avatar. `at` is the predicted place of the own avatar.
    pub fn read(frame: &Frame, seat: SeatId, at: Option<(f32, f32)>) -> Option<Self> {
        let own_row = frame.rows().find(|row| row.kind == PLAYER && row.owner == Some(seat))?;
        let side = own_row.get(player::SIDE);
        let own = Own {
            at: at.unwrap_or((own_row.get(player::X), own_row.get(player::Y))),
            health: own_row.get(player::HEALTH),
            rounds: own_row.get(player::ROUNDS),
            rockets: own_row.get(player::ROCKETS),
            can_dash: own_row.get(player::DASH_WAIT) == 0.0,
        };
        let mut sight = Self { own, enemies: Vec::new(), supplies: Vec::new(), is_playing: false };
        for row in frame.rows() {
            match row.kind {
                PLAYER if row.get(player::SIDE) != side && row.get(player::HEALTH) > 0.0 => sight.enemies.push(Enemy {
                    entity: row.entity,
                    at: (row.get(player::X), row.get(player::Y)),
                    velocity: (row.get(player::VX), row.get(player::VY)),
                    protected: row.get(player::PROTECTED) != 0.0,
                }),
                PICKUP if row.get(pickup::READY) != 0.0 => {
                    let supply = Supply::from_code(row.get(pickup::SUPPLY) as u8);
                    let place = (row.get(pickup::X), row.get(pickup::Y));
                    sight.supplies.extend(supply.map(|supply| (supply, place)));
                }
                MATCH => sight.is_playing = row.get(status::PHASE) == 1.0,
                _ => {}
            }
        }
        Some(sight)
    }
}
