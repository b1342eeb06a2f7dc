//! The decisions of an election: what to write, when to look again, and until when one leads. No clock, no network.

use std::time::Duration;

/// A moment of this process's monotonic clock, since any fixed point.
pub type Instant = Duration;

/// Number of a leadership: `leaseTransitions` of the write that began it. Grows with each new leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a Lease stands unchanged before another may take it. Whole seconds, as the Lease has it.
    pub duration: Duration,
    /// How often the holder renews, and how often the others look.
    pub retry: Duration,
}

impl Default for Timing {
    /// 15 s and 2 s, as Kubernetes' own components have it: a leader that was killed is replaced within 17 s.
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), retry: Duration::from_secs(2) }
    }
}

impl Timing {
    /// How long after a renewal began its holder may lead.
    pub fn lead(&self) -> Duration {
        self.duration * 2 / 3
    }
}

/// What a Lease says, as read from the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// resourceVersion: changes with each write.
    pub version: String,
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// leaseTransitions.
    pub transitions: u64,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the Lease, then [`Election::observed`].
    Read,
    /// Create the Lease with this holder and `transitions`; then [`Election::written`].
    Create {
        /// leaseTransitions of the new Lease.
        transitions: u64,
    },
    /// Replace the Lease, naming this resourceVersion; then [`Election::written`].
    Replace {
        /// resourceVersion that the write must name.
        version: String,
        /// leaseTransitions to write: one more than before when the Lease changes hands.
        transitions: u64,
    },
    /// Nothing before then.
    Wait(Instant),
}

/// One candidate's view.
#[derive(Debug)]
pub struct Election {
    me: String,
    timing: Timing,
    /// The Lease as last read or written, and when it was first seen so.
    seen: Option<(Record, Instant)>,
    /// The leadership that the last renewal gave.
    lead: Option<Lead>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lead {
    epoch: Epoch,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Look at the Lease at this moment.
    Read(Instant),
    /// The Lease was just read, or just written by this candidate: decide on it.
    Decide,
    /// The Lease does not exist.
    Create,
}

impl Election {
    /// A candidate. `me` must differ from every other's, and from that of this pod's last process.
    pub fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self { me: me.into(), timing, seen: None, lead: None, next: Next::Read(Duration::ZERO) }
    }

    /// The epoch in which this candidate leads now, if it does. Ask before each write: the answer ends by itself.
    pub fn leads(&self, now: Instant) -> Option<Epoch> {
        self.lead.filter(|lead| now < lead.until).map(|lead| lead.epoch)
    }

    /// When [`Self::leads`] will end unless renewed.
    pub fn leads_until(&self) -> Option<Instant> {
        self.lead.map(|lead| lead.until)
    }

    /// Who holds the Lease, as last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(record, _)| record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        match self.next {
            Next::Read(at) if now < at => Step::Wait(at),
            Next::Read(_) => Step::Read,
            Next::Create => Step::Create { transitions: 1 },
            Next::Decide => self.decide(now),
        }
    }

    /// What was read; `None`: there is no such Lease.
    pub fn observed(&mut self, now: Instant, record: Option<Record>) {
        let Some(record) = record else {
            self.seen = None;
            self.next = Next::Create;
            return;
        };
        if record.holder != self.me {
            self.lead = None;
        }
        let since = match &self.seen {
            Some((old, since)) if *old == record => *since,
            _ => now,
        };
        self.seen = Some((record, since));
        self.next = Next::Decide;
    }

    /// The last Create or Replace was answered: the new record, or `None` when it failed for whatever reason. `began` is
    /// the moment just before it was sent, because from then on others may have seen it.
    pub fn written(&mut self, began: Instant, now: Instant, record: Option<Record>) {
        match record {
            Some(record) if record.holder == self.me => {
                self.lead = Some(Lead { epoch: Epoch(record.transitions), until: began + self.timing.lead() });
                self.seen = Some((record, now));
            }
            Some(record) => {
                self.lead = None;
                self.seen = Some((record, now));
            }
            // Unknown whether it was written: the truth is read. A leadership that stands goes on to its own end.
            None => {}
        }
        self.next = Next::Read(now + self.timing.retry);
    }

    /// The last Read failed: look again soon. A leadership that stands goes on to its own end.
    pub fn unreadable(&mut self, now: Instant) {
        self.next = Next::Read(now + self.timing.retry);
    }

    /// Gives the Lease up: leads no more from this very call on. The write that tells the others, if this candidate holds it.
    pub fn resign(&mut self) -> Option<Step> {
        self.lead = None;
        let (record, _) = self.seen.as_ref().filter(|(record, _)| record.holder == self.me)?;
        Some(Step::Replace { version: record.version.clone(), transitions: record.transitions })
    }

    fn decide(&mut self, now: Instant) -> Step {
        let Some((record, since)) = &self.seen else {
            return Step::Read;
        };
        let mine = record.holder == self.me;
        // A Lease that names this candidate although it does not lead was written by a renewal whose answer came too late,
        // or never: it is taken anew, with an epoch of its own.
        let renews = mine && self.leads(now).is_some();
        let free = mine || record.holder.is_empty() || now >= *since + self.timing.duration;
        if !free {
            let at = (now + self.timing.retry).min(*since + self.timing.duration);
            self.next = Next::Read(at);
            return Step::Wait(at);
        }
        let transitions = if renews { record.transitions } else { record.transitions + 1 };
        Step::Replace { version: record.version.clone(), transitions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    fn record(version: &str, holder: &str, transitions: u64) -> Record {
        Record { version: version.into(), holder: holder.into(), transitions }
    }

    fn candidate() -> Election {
        Election::new("me", Timing::default())
    }

    #[test]
    fn the_first_candidate_makes_the_lease_and_leads_for_two_thirds_of_it() {
        let mut me = candidate();
        assert_eq!(me.step(s(0)), Step::Read);
        me.observed(s(0), None);
        assert_eq!(me.step(s(0)), Step::Create { transitions: 1 });
        me.written(s(0), s(1), Some(record("1", "me", 1)));
        assert_eq!((me.leads(s(9)), me.leads(s(10))), (Some(Epoch(1)), None), "from when the write began");
    }

    #[test]
    fn a_renewal_keeps_the_epoch_and_a_late_one_begins_a_new_one() {
        let mut me = candidate();
        me.written(s(0), s(0), Some(record("1", "me", 4)));
        me.observed(s(3), Some(record("1", "me", 4)));
        assert_eq!(me.step(s(3)), Step::Replace { version: "1".into(), transitions: 4 });
        me.written(s(3), s(3), Some(record("2", "me", 4)));
        assert_eq!(me.leads(s(12)), Some(Epoch(4)));
        me.observed(s(13), Some(record("2", "me", 4)));
        assert_eq!(me.step(s(13)), Step::Replace { version: "2".into(), transitions: 5 }, "it had stopped leading");
    }

    #[test]
    fn another_waits_until_the_lease_stood_unchanged_for_its_whole_duration_by_its_own_clock() {
        let mut me = candidate();
        me.observed(s(100), Some(record("7", "other", 3)));
        assert_eq!(me.step(s(100)), Step::Wait(s(102)));
        assert_eq!(me.step(s(102)), Step::Read);
        me.observed(s(114), Some(record("7", "other", 3)));
        assert_eq!(me.step(s(114)), Step::Wait(s(115)), "looks again at the very end");
        me.observed(s(114), Some(record("8", "other", 3)));
        assert_eq!(me.step(s(114)), Step::Wait(s(116)), "renewed: the wait begins anew");
        me.observed(s(129), Some(record("8", "other", 3)));
        assert_eq!(me.step(s(129)), Step::Replace { version: "8".into(), transitions: 4 });
        me.written(s(129), s(129), None);
        assert_eq!((me.leads(s(129)), me.step(s(129))), (None, Step::Wait(s(131))), "the write lost");
    }

    #[test]
    fn whoever_resigns_leads_no_more_and_a_free_lease_is_taken_at_once() {
        let mut me = candidate();
        me.written(s(0), s(0), Some(record("1", "me", 1)));
        assert_eq!(me.resign(), Some(Step::Replace { version: "1".into(), transitions: 1 }));
        assert_eq!((me.leads(s(0)), candidate().resign()), (None, None));
        let mut other = candidate();
        other.observed(s(1), Some(record("2", "", 1)));
        assert_eq!(other.step(s(1)), Step::Replace { version: "2".into(), transitions: 2 });
    }

    #[test]
    fn losing_the_lease_to_another_ends_the_lead_at_once() {
        let mut me = candidate();
        me.written(s(0), s(0), Some(record("1", "me", 1)));
        me.observed(s(2), Some(record("2", "other", 2)));
        assert_eq!((me.leads(s(2)), me.holder()), (None, Some("other")));
    }
}

#[cfg(test)]
mod simulation;
