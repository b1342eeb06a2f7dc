//! The tick loop of a server on one thread, and what is measured of it.

use std::time::{Duration, Instant};

use crate::clock::{Ticks, thread_cpu_ns};
use crate::counts::{Counted, Counts};
use crate::work::Work;
use crate::{CLIENTS, TICK_RATE_HZ};

/// From the last handshake to the first measured tick.
const WARM_UP_TICKS: usize = 2 * TICK_RATE_HZ as usize;
/// A run whose clients do not connect by then is broken.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// One way to carry bytes.
pub trait Carrier {
    /// Takes everything that has arrived; tells which ticks the clients have.
    fn receive(&mut self, delivered: &mut dyn FnMut(usize, u32));
    /// Sends this tick's payloads.
    fn send(&mut self, work: &Work);
}

/// What a run measured.
#[derive(Clone, Default)]
pub struct Measured {
    /// CPU of each tick in microseconds: everything that the thread did since the tick before.
    pub tick_us: Vec<f64>,
    /// Of it, world and encoding.
    pub work_us: Vec<f64>,
    /// What reached the clients.
    pub down: Counted,
    /// Entity updates written.
    pub mentioned: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Collects a run: first the warm-up, then the ticks that count.
pub struct Meter<'a> {
    counts: &'a Counts,
    begun: Instant,
    ticks_wanted: usize,
    warm: usize,
    last_ns: u64,
    start: Option<(Instant, Counted, u64)>,
    measured: Measured,
}

impl<'a> Meter<'a> {
    /// Measures `length` once every client is there.
    pub fn new(counts: &'a Counts, length: Duration) -> Self {
        Self {
            counts,
            begun: Instant::now(),
            ticks_wanted: (length.as_secs_f64() * f64::from(TICK_RATE_HZ)) as usize,
            warm: 0,
            last_ns: thread_cpu_ns(),
            start: None,
            measured: Measured::default(),
        }
    }

    /// A tick is over; `work_ns` of it were world and encoding. Returns whether the run is.
    pub fn tick(&mut self, work: &Work, work_ns: u64) -> bool {
        let now_ns = thread_cpu_ns();
        let tick_ns = now_ns - std::mem::replace(&mut self.last_ns, now_ns);
        let Some((start, before, mentioned)) = self.start else {
            self.warm_up(work);
            return false;
        };
        self.measured.tick_us.push(tick_ns as f64 / 1_000.0);
        self.measured.work_us.push(work_ns as f64 / 1_000.0);
        if self.measured.tick_us.len() < self.ticks_wanted {
            return false;
        }
        self.measured.down = self.counts.read().since(before);
        self.measured.mentioned = work.mentioned - mentioned;
        self.measured.seconds = start.elapsed().as_secs_f64();
        true
    }

    fn warm_up(&mut self, work: &Work) {
        if self.counts.clients() < CLIENTS as u64 {
            assert!(self.begun.elapsed() < CONNECT_MAX, "only {} clients connect", self.counts.clients());
            return;
        }
        self.warm += 1;
        if self.warm == WARM_UP_TICKS {
            self.start = Some((Instant::now(), self.counts.read(), work.mentioned));
        }
    }

    /// What was measured; ends the clients.
    pub fn end(self) -> Measured {
        self.counts.stop();
        self.measured
    }
}

/// Runs the tick loop to the end of the measurement.
pub fn drive(work: &mut Work, carrier: &mut impl Carrier, counts: &Counts, length: Duration) -> Measured {
    let mut meter = Meter::new(counts, length);
    let mut ticks = Ticks::begin();
    loop {
        ticks.wait();
        carrier.receive(&mut |client, tick| work.delivered(client, tick));
        let before = thread_cpu_ns();
        work.step();
        let work_ns = thread_cpu_ns() - before;
        carrier.send(work);
        if meter.tick(work, work_ns) {
            return meter.end();
        }
    }
}
