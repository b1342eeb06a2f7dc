//! Muster beside renet and raw quinn datagrams: the same seeded world, 64 clients at 60 Hz over loopback, in one run.
//!
//! `cargo xtask bench peers`, or here `cargo run --release -- [--seconds N] [--rounds N]`.
//!
//! Each server is one thread that receives, moves the world, encodes and sends once per tick; its CPU is what the kernel
//! counts for that thread from one tick to the next. The clients are on a thread of their own; each sends 32 bytes per
//! tick and counts what reaches its socket. Every figure is the median of the rounds.
//!
//! | server | what it sends |
//! |---|---|
//! | `muster`, `muster over QUIC` | Muster's snapshots by Muster's endpoint |
//! | `renet naive` | the whole state by bincode, once per tick, broadcast, as in renet's documentation |
//! | `renet` | Muster's snapshots on renet's unreliable channel |
//! | `quinn` | Muster's snapshots as QUIC datagrams |

mod clients;
mod clock;
mod counts;
mod muster;
mod naive;
mod quic;
mod renet_peer;
mod server;
mod table;
mod work;

use std::time::Duration;

use table::Row;

/// Clients of every run.
pub const CLIENTS: usize = 64;
/// Ticks per second.
pub const TICK_RATE_HZ: u32 = 60;
/// Bytes that each client sends per tick.
pub const INPUT_BYTES: usize = 32;
const ENTITIES: [u16; 3] = [64, 200, 1_000];

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Muster over native UDP.
    Muster,
    /// Muster over QUIC.
    MusterQuic,
    /// renet with a naive encoding.
    RenetNaive,
    /// renet with Muster's bytes.
    Renet,
    /// quinn with Muster's bytes.
    Quinn,
}

impl Peer {
    const ALL: [Self; 5] = [Self::Muster, Self::MusterQuic, Self::RenetNaive, Self::Renet, Self::Quinn];

    /// Name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Muster => "muster",
            Self::MusterQuic => "muster over QUIC",
            Self::RenetNaive => "renet naive",
            Self::Renet => "renet, same bytes",
            Self::Quinn => "quinn, same bytes",
        }
    }
}

fn main() {
    let seconds = option("--seconds", 6);
    let rounds = option("--rounds", 3);
    let mut rows = Vec::new();
    for entities in ENTITIES {
        for round in 1..=rounds {
            for peer in Peer::ALL {
                eprintln!("{entities} entities, round {round} of {rounds}: {}", peer.name());
                rows.push(Row { peer, entities, measured: run(peer, entities, Duration::from_secs(seconds)) });
            }
        }
    }
    println!(
        "{CLIENTS} clients at {TICK_RATE_HZ} Hz, median of {rounds} rounds of {seconds} s, server CPU in µs per tick"
    );
    print!("{}", table::table(&rows, &ENTITIES));
}

fn run(peer: Peer, entities: u16, length: Duration) -> server::Measured {
    match peer {
        Peer::Muster | Peer::MusterQuic => muster::run(peer, entities, length),
        Peer::RenetNaive | Peer::Renet => renet_peer::run(peer, entities, length),
        Peer::Quinn => quic::run(entities, length),
    }
}

/// The number after a flag.
fn option(flag: &str, otherwise: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == flag);
    place.and_then(|place| arguments.get(place + 1)?.parse().ok()).unwrap_or(otherwise)
}
