//! Health pings: only while the server lives, over a stream that is opened again whenever it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::Client;
use crate::metrics;
use crate::pb;

/// Says, once per period, whether the server is alive. A process that answers while its ticks stand still is dead to
/// its players, so the answer must come from the work itself.
pub struct HealthGate(Box<dyn FnMut() -> bool + Send>);

impl std::fmt::Debug for HealthGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HealthGate")
    }
}

impl HealthGate {
    /// Alive whenever the closure says so. It is asked once per period and must not block.
    pub fn new(is_alive: impl FnMut() -> bool + Send + 'static) -> Self {
        Self(Box::new(is_alive))
    }

    /// Alive while the counter moves: it counts ticks (or turns of an idle loop), and two looks must differ.
    pub fn advancing(counter: Arc<AtomicU64>) -> Self {
        let mut last = None;
        Self::new(move || {
            let count = counter.load(Ordering::Relaxed);
            last.replace(count) != Some(count)
        })
    }
}

/// The task that sends pings; dropping it ends them.
#[derive(Debug)]
#[must_use = "dropping it ends the pings"]
pub struct HealthTask {
    _end: DropGuard,
}

impl HealthTask {
    pub(super) fn start(client: Option<Client>, period: Duration, gate: HealthGate) -> Self {
        let end = CancellationToken::new();
        if let Some(client) = client {
            tokio::spawn(end.clone().run_until_cancelled_owned(run(client, period, gate)));
        }
        Self { _end: end.drop_guard() }
    }
}

async fn run(mut client: Client, period: Duration, gate: HealthGate) {
    let mut period = interval(period.max(Duration::from_millis(1)));
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = Pulse { gate, was_alive: true };
    loop {
        // A stream is opened at a tick, so a server that refuses it is asked once per period.
        period.tick().await;
        // One ping may wait for the connection; more would arrive as a burst that says nothing.
        let (pings, stream) = mpsc::channel(1);
        if !pulse.beat(&pings) {
            continue;
        }
        let call = client.health(ReceiverStream::new(stream));
        tokio::pin!(call);
        let ended = loop {
            tokio::select! {
                ended = &mut call => break ended,
                _ = period.tick() => drop(pulse.beat(&pings)),
            }
        };
        match ended {
            Ok(_) => tracing::debug!("the SDK server ended the health stream; opening it again"),
            Err(error) => tracing::debug!(%error, "lost the health stream; opening it again"),
        }
    }
}

struct Pulse {
    gate: HealthGate,
    was_alive: bool,
}

impl Pulse {
    /// Sends a ping if the server is alive, and says whether it is.
    fn beat(&mut self, pings: &mpsc::Sender<pb::Empty>) -> bool {
        let alive = (self.gate.0)();
        match (self.was_alive, alive) {
            (true, false) => tracing::error!("the server does not advance; health pings stop until it does"),
            (false, true) => tracing::info!("the server advances again; health pings go on"),
            _ => {}
        }
        self.was_alive = alive;
        let outcome = match alive.then(|| pings.try_send(pb::Empty {})) {
            None => "withheld",
            Some(Ok(())) => "sent",
            Some(Err(_)) => "undeliverable",
        };
        metrics::sdk_health_ping(outcome);
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_open_only_while_the_counter_moves() {
        let ticks = Arc::new(AtomicU64::new(0));
        let mut gate = HealthGate::advancing(ticks.clone());
        assert!((gate.0)(), "the first look has nothing to compare with");
        assert!(!(gate.0)());
        ticks.store(5, Ordering::Relaxed);
        assert!((gate.0)());
        assert!(!(gate.0)());
    }
}
