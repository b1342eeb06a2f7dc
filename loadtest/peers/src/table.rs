//! The table of a run: medians over the rounds, and how each peer compares with Muster.

use std::fmt::Write as _;

use crate::server::Measured;
use crate::{CLIENTS, Peer};

/// Headers of IPv4 and UDP.
const HEADER_BYTES: f64 = 28.0;

/// One round of one peer.
pub struct Row {
    /// Which.
    pub peer: Peer,
    /// Entities in its world.
    pub entities: u16,
    /// What it measured.
    pub measured: Measured,
}

/// What the table shows of one round.
struct Figures {
    tick_p50: f64,
    tick_p99: f64,
    work_p50: f64,
    wire: f64,
    snapshot: f64,
    rate: f64,
    updates: f64,
}

impl Figures {
    fn of(measured: &Measured) -> Self {
        let client_seconds = measured.seconds * CLIENTS as f64;
        let down = measured.down;
        Self {
            tick_p50: quantile(&measured.tick_us, 0.5),
            tick_p99: quantile(&measured.tick_us, 0.99),
            work_p50: quantile(&measured.work_us, 0.5),
            wire: (down.bytes as f64 + HEADER_BYTES * down.datagrams as f64) / client_seconds,
            snapshot: down.snapshot_bytes as f64 / down.snapshots.max(1) as f64,
            rate: down.snapshots as f64 / client_seconds,
            updates: measured.mentioned as f64 / client_seconds,
        }
    }
}

/// Everything as a Markdown table.
pub fn table(rows: &[Row], entities: &[u16]) -> String {
    let mut text = String::from(
        "| entities | server | tick p50 | tick p99 | of it world and encoding | carrier p50 | snapshot B | \
         B/client/s on the wire | snapshots/s | entity updates/client/s | CPU vs muster | bytes vs muster |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for &count in entities {
        let of = |peer| -> Vec<Figures> {
            let rows = rows.iter().filter(|row| row.peer == peer && row.entities == count);
            rows.map(|row| Figures::of(&row.measured)).collect()
        };
        let muster = of(Peer::Muster);
        for peer in Peer::ALL {
            let rounds = of(peer);
            let figure = |of: fn(&Figures) -> f64| median(&rounds, of);
            let versus = |of: fn(&Figures) -> f64| figure(of) / median(&muster, of);
            let _ = writeln!(
                text,
                "| {count} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} | {:.2} | {:.2} |",
                peer.name(),
                figure(|f| f.tick_p50),
                figure(|f| f.tick_p99),
                figure(|f| f.work_p50),
                figure(|f| f.tick_p50 - f.work_p50),
                figure(|f| f.snapshot),
                figure(|f| f.wire),
                figure(|f| f.rate),
                figure(|f| f.updates),
                versus(|f| f.tick_p50),
                versus(|f| f.wire),
            );
        }
    }
    text
}

fn median(rounds: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    quantile(&rounds.iter().map(of).collect::<Vec<_>>(), 0.5)
}

/// The value below which this share of the samples lies.
fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
