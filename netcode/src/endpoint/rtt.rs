//! Round-trip time, its variation, and when to resend.

use std::time::Duration;

use super::limits::{ACK_DELAY_MAX, RESEND_INITIAL, RESEND_MAX, RESEND_MIN};

/// Estimates from acknowledged packets (RFC 9002, 5; jitter by RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rtt {
    latest: Option<Duration>,
    pub(super) smoothed: Duration,
    variation: Duration,
    pub(super) smallest: Duration,
    pub(super) jitter: Duration,
}

impl Rtt {
    /// Takes one sample: the time from sending a packet to its ack, and how long the peer says it held the ack. A peer
    /// that lies about that makes its round trip look at most 50 ms shorter.
    pub(super) fn sample(&mut self, elapsed: Duration, ack_delay: Duration) {
        let sample = elapsed.saturating_sub(ack_delay.min(ACK_DELAY_MAX * 2));
        let Some(previous) = self.latest.replace(sample) else {
            (self.smoothed, self.variation, self.smallest) = (sample, sample / 2, sample);
            return;
        };
        self.smallest = self.smallest.min(sample);
        self.variation = (self.variation * 3 + self.smoothed.abs_diff(sample)) / 4;
        self.smoothed = (self.smoothed * 7 + sample) / 8;
        self.jitter = (self.jitter * 15 + previous.abs_diff(sample)) / 16;
    }

    /// How old a packet is before later acks mean that it is lost and not just late.
    pub(super) fn late_after(&self) -> Duration {
        self.smoothed + self.variation * 4
    }

    /// How long to wait for an ack before sending again for the first time: round trip, four times its variation, and
    /// the time the peer may hold an ack.
    pub(super) fn resend_after(&self) -> Duration {
        match self.latest {
            None => RESEND_INITIAL,
            Some(_) => (self.late_after() + ACK_DELAY_MAX).clamp(RESEND_MIN, RESEND_MAX),
        }
    }

    /// The same for the next time, after `resends` of them: twice as long each time.
    pub(super) fn resend_after_tries(&self, resends: u32) -> Duration {
        (self.resend_after() * (1 << resends.min(5))).min(RESEND_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_steady_path_converges_and_ack_delay_is_taken_off() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.resend_after(), RESEND_INITIAL);
        rtt.sample(60 * MS, 10 * MS);
        for _ in 0..60 {
            rtt.sample(70 * MS, 20 * MS);
        }
        assert!(rtt.smoothed.abs_diff(50 * MS) < MS && rtt.jitter < MS, "{rtt:?}");
        assert!(rtt.resend_after() < 80 * MS);
        assert_eq!(rtt.resend_after_tries(30), RESEND_MAX);
    }

    #[test]
    fn a_peer_that_lies_about_its_delay_gains_little() {
        let mut rtt = Rtt::default();
        for _ in 0..50 {
            rtt.sample(80 * MS, 6_000 * MS);
        }
        assert_eq!(rtt.smoothed, 30 * MS);
    }
}
