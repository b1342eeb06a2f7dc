//! What a seed decides: the network and the mishaps.

use std::time::Duration;

use netcode::emulator::{Conditions, Random};

use super::SimConfig;

/// Something that befalls one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It crashes in this tick and connects anew.
    Crash { client: usize, at: u32 },
    /// Nothing passes its links between these ticks.
    Dark { client: usize, from: u32, until: u32 },
}

/// How the match of a seed goes.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) conditions: Conditions,
    pub(super) mishaps: Vec<Mishap>,
}

impl Plan {
    pub(super) fn new(seed: u64, config: &SimConfig) -> Self {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let conditions = config.conditions.unwrap_or_else(|| draw(&mut random));
        let mut mishaps = Vec::new();
        let second = config.tick_rate_hz;
        let ticks = u64::from(config.seconds) * u64::from(second);
        if config.mishaps && config.players > 0 && config.seconds >= 20 {
            let client = random.below(u64::from(config.players)) as usize;
            mishaps.push(Mishap::Crash { client, at: random.below(ticks) as u32 });
            if random.chance(0.3) {
                // Longer than the silence that the transport reports, shorter than what it forgives.
                let from = random.below(ticks / 2) as u32 + 3 * second;
                let until = from + (5 + random.below(4) as u32) * second;
                mishaps.push(Mishap::Dark { client: (client + 1) % usize::from(config.players), from, until });
            }
        }
        Self { conditions, mishaps }
    }
}

fn draw(random: &mut Random) -> Conditions {
    let ms = |random: &mut Random, most: u64| Duration::from_millis(random.below(most + 1));
    Conditions {
        latency: ms(random, 150),
        jitter: ms(random, 30),
        loss: random.below(21) as f64 / 100.0,
        duplicate: random.below(6) as f64 / 100.0,
        reorder: random.below(6) as f64 / 100.0,
        reorder_by: ms(random, 60),
        ..Conditions::PERFECT
    }
}
