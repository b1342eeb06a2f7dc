//! Inputs of one seat on their way to their tick.

use protocol::tick::Tick;

use crate::input::{InputPacket, RawInput};

/// Inputs for ticks this far ahead, or farther, are dropped.
pub(crate) const TICKS_AHEAD_MAX: i64 = 64;
/// Ticks that the ring remembers: those ahead, and as many behind, so that a repeated input is not taken for a late one.
const RING: usize = 2 * TICKS_AHEAD_MAX as usize;

/// What became of inputs, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputCounts {
    /// Inputs that were taken for their tick.
    pub accepted: u64,
    /// Inputs whose tick was over when they first arrived.
    pub late: u64,
    /// Inputs for ticks 64 or more ahead.
    pub ahead: u64,
    /// Payloads that were no input.
    pub malformed: u64,
    /// Ticks of present players without an input of their own.
    pub missing: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    tick: Tick,
    raw: RawInput,
    margin_ms: i16,
}

/// One seat's inputs. Fixed memory.
#[derive(Debug)]
pub(crate) struct InputBuffer {
    slots: Vec<Option<Slot>>,
    /// Tick of the newest input that a step has used.
    pub(crate) last_used: Tick,
    /// How early the newest input arrived; negative: late.
    pub(crate) margin_ms: i16,
    /// Steps since the last input of their own.
    missing: u32,
    held: Option<RawInput>,
}

impl InputBuffer {
    pub(crate) fn new() -> Self {
        Self { slots: vec![None; RING], last_used: Tick::ZERO, margin_ms: 0, missing: 0, held: None }
    }

    /// Takes the inputs of a payload that arrived `early_us` before the step of tick `next`.
    pub(crate) fn accept(
        &mut self,
        packet: &InputPacket,
        next: Tick,
        tick_rate_hz: u32,
        early_us: u32,
        counts: &mut InputCounts,
    ) {
        for (tick, raw) in packet.iter() {
            let ahead = tick.since(next);
            if ahead >= TICKS_AHEAD_MAX {
                counts.ahead += 1;
                continue;
            }
            let slot = &mut self.slots[tick.0 as usize % RING];
            if ahead < -TICKS_AHEAD_MAX || slot.is_some_and(|slot| slot.tick == tick) {
                continue;
            }
            let margin = ahead * 1_000 / i64::from(tick_rate_hz) + i64::from(early_us / 1_000);
            let margin_ms = margin.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
            *slot = Some(Slot { tick, raw: *raw, margin_ms });
            if ahead < 0 {
                counts.late += 1;
                self.margin_ms = margin_ms;
            } else {
                counts.accepted += 1;
            }
        }
    }

    /// The input for `tick`: its own, or the last one for up to `hold_ticks` ticks, or `None` for neutral.
    pub(crate) fn take(&mut self, tick: Tick, hold_ticks: u32, counts: &mut InputCounts) -> Option<RawInput> {
        if let Some(slot) = self.slots[tick.0 as usize % RING].filter(|slot| slot.tick == tick) {
            self.missing = 0;
            self.last_used = tick;
            self.margin_ms = slot.margin_ms;
            self.held = Some(slot.raw);
            return self.held;
        }
        counts.missing += 1;
        self.missing = self.missing.saturating_add(1);
        self.held.filter(|_| self.missing <= hold_ticks)
    }
}
