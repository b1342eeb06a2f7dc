//! Whether a connection lives, and whether it sends too fast.

/// How connections are kept alive, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// A connection that was quiet for this long is pinged.
    pub ping_ms: u64,
    /// One that was quiet for this long is dead.
    pub dead_ms: u64,
    /// How long a session waits for a resume.
    pub grace_ms: u64,
}

impl Default for Pulse {
    /// As others do: a ping every 15 s, dead after 25 s; a minute of grace, which a phone that changes networks needs.
    fn default() -> Self {
        Self { ping_ms: 15_000, dead_ms: 25_000, grace_ms: 60_000 }
    }
}

/// What to do about a quiet connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Fine,
    /// Ping it.
    Ping,
    /// Close it; its session waits for a resume.
    Dead,
}

impl Pulse {
    /// What to do about a connection that was last heard at `heard_ms` and last pinged at `pinged_ms`.
    pub fn beat(self, now_ms: u64, heard_ms: u64, pinged_ms: u64) -> Beat {
        let quiet_ms = now_ms.saturating_sub(heard_ms);
        if quiet_ms >= self.dead_ms {
            Beat::Dead
        } else if quiet_ms >= self.ping_ms && pinged_ms <= heard_ms {
            Beat::Ping
        } else {
            Beat::Fine
        }
    }
}

/// A token bucket of one connection: so many messages a second, and so many at once.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    tokens: f32,
    at_ms: u64,
}

impl Pace {
    /// Messages per second in the long run.
    pub const PER_SECOND: f32 = 20.0;
    /// Messages at once after a pause.
    pub const BURST: f32 = 60.0;

    /// A full one.
    pub fn new(now_ms: u64) -> Self {
        Self { tokens: Self::BURST, at_ms: now_ms }
    }

    /// Counts a message. Returns whether it is within the pace.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let passed_s = now_ms.saturating_sub(self.at_ms) as f32 / 1_000.0;
        self.tokens = (self.tokens + passed_s * Self::PER_SECOND).min(Self::BURST);
        self.at_ms = self.at_ms.max(now_ms);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_connection_is_pinged_once_and_then_dead() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beat(14_999, 0, 0), Beat::Fine);
        assert_eq!(pulse.beat(15_000, 0, 0), Beat::Ping);
        assert_eq!(pulse.beat(20_000, 1, 15_000), Beat::Fine, "it was pinged");
        assert_eq!(pulse.beat(25_001, 1, 15_000), Beat::Dead);
        assert_eq!(pulse.beat(0, 30_000, 0), Beat::Fine, "a clock that steps back kills nobody");
    }

    #[test]
    fn a_burst_passes_and_then_the_pace_holds() {
        let mut pace = Pace::new(0);
        let passed = (0..100).filter(|_| pace.take(0)).count();
        assert_eq!(passed as f32, Pace::BURST);
        assert!(!pace.take(49) && pace.take(100));
    }
}
