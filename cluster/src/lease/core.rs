//! The decisions of an election: what to write, when to look again, and until when one leads. No clock, no network.

use std::time::Duration;

/// Leaderships that a candidate may have missed before the Lease was deleted: its count goes on at least so far above the last
/// one seen. Candidates look every few seconds, so this is plenty.
const UNSEEN_MAX: u64 = 1_000;
/// Candidates go on in steps of that, 1 to this many by their names, so that two who have missed different things do not meet.
/// 31 bits hold thousands of deletions.
const STEPS: u64 = 500;

/// A moment of this process's monotonic clock, since any fixed point.
pub type Instant = Duration;

/// Number of a leadership: `leaseTransitions` of the write that began it. Grows with each new leader, and goes on from where
/// it was when somebody deletes the Lease: whoever has seen it remembers, and [`Election::learn`] takes what others remember.
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
    /// The highest epoch known, by the Lease or from those who obeyed one; 0: none.
    highest: u64,
    /// A Lease that was there is gone: its holder may lead for a while yet.
    gone: Option<Gone>,
    next: Next,
}

/// Since when there is no Lease, as far as was looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gone {
    since: Instant,
    /// When that was last seen; between looks that are far apart there may have been one.
    looked: Instant,
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
    /// The Lease was just read, or was just found missing: decide on it.
    Decide,
}

impl Election {
    /// A candidate. `me` must differ from every other's, and from that of this pod's last process.
    pub fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self { me: me.into(), timing, seen: None, lead: None, highest: 0, gone: None, next: Next::Read(Duration::ZERO) }
    }

    /// The epoch in which this candidate leads now, if it does. Ask before each write: the answer ends by itself.
    pub fn leads(&self, now: Instant) -> Option<Epoch> {
        self.lead.filter(|lead| now < lead.until && lead.epoch.0 >= self.highest).map(|lead| lead.epoch)
    }

    /// Somebody has obeyed this epoch. A lower leadership ends with this call, and the next one is above it.
    pub fn learn(&mut self, Epoch(obeyed): Epoch) {
        self.highest = self.highest.max(obeyed);
    }

    /// When [`Self::leads`] will end unless renewed.
    pub fn leads_until(&self) -> Option<Instant> {
        self.lead.map(|lead| lead.until)
    }

    /// Who holds the Lease, as last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(record, _)| record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// How long the Lease has stood as it was last seen, which is since its holder renewed it; `None`: it was never seen.
    pub fn unrenewed_for(&self, now: Instant) -> Option<Duration> {
        self.seen.as_ref().map(|(_, since)| now.saturating_sub(*since))
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        match self.next {
            Next::Read(at) if now < at => Step::Wait(at),
            Next::Read(_) => Step::Read,
            Next::Decide => self.decide(now),
        }
    }

    /// What was read; `None`: there is no such Lease.
    pub fn observed(&mut self, now: Instant, record: Option<Record>) {
        self.next = Next::Decide;
        let Some(record) = record else {
            let was_there = self.seen.take().is_some() || self.gone.is_some();
            let before = self.gone.filter(|gone| now.saturating_sub(gone.looked) < self.timing.lead());
            self.gone = was_there.then_some(Gone { since: before.map_or(now, |gone| gone.since), looked: now });
            return;
        };
        self.gone = None;
        self.highest = self.highest.max(record.transitions);
        if record.holder != self.me {
            self.lead = None;
        }
        let since = match &self.seen {
            Some((old, since)) if *old == record => *since,
            _ => now,
        };
        self.seen = Some((record, since));
    }

    /// The last Create or Replace was answered: the new record, or `None` when it failed for whatever reason. `began` is
    /// the moment just before it was sent, because from then on others may have seen it.
    pub fn written(&mut self, began: Instant, now: Instant, record: Option<Record>) {
        match record {
            Some(record) if record.holder == self.me => {
                self.lead = Some(Lead { epoch: Epoch(record.transitions), until: began + self.timing.lead() });
                self.note(record, now);
            }
            Some(record) => {
                self.lead = None;
                self.note(record, now);
            }
            // Unknown whether it was written: the truth is read. A leadership that stands goes on to its own end.
            None => {}
        }
        self.next = Next::Read(now + self.timing.retry);
    }

    fn note(&mut self, record: Record, now: Instant) {
        self.highest = self.highest.max(record.transitions);
        (self.seen, self.gone) = (Some((record, now)), None);
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
            return self.decide_without(now);
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
        let transitions = match record.transitions {
            mine if renews => mine,
            highest if highest == self.highest => highest + 1,
            // Made by somebody who had seen less.
            _ => self.above_what_was_missed(),
        };
        Step::Replace { version: record.version.clone(), transitions }
    }

    /// There is no Lease. Where there was one, whoever leads makes it again; the others wait until that leadership would have
    /// ended.
    fn decide_without(&mut self, now: Instant) -> Step {
        if let Some(Epoch(epoch)) = self.leads(now) {
            return Step::Create { transitions: epoch };
        }
        let free = self.gone.map_or(now, |gone| gone.since + self.timing.duration);
        if now < free {
            let at = (now + self.timing.retry).min(free);
            self.next = Next::Read(at);
            return Step::Wait(at);
        }
        let first_ever = self.highest == 0;
        Step::Create { transitions: if first_ever { 1 } else { self.above_what_was_missed() } }
    }

    fn above_what_was_missed(&self) -> u64 {
        let own = self.me.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.highest + UNSEEN_MAX * (1 + own % STEPS)
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
        assert_eq!(me.unrenewed_for(s(120)), Some(s(6)));
        me.observed(s(129), Some(record("8", "other", 3)));
        assert_eq!(me.step(s(129)), Step::Replace { version: "8".into(), transitions: 4 });
        me.written(s(129), s(129), None);
        assert_eq!((me.leads(s(129)), me.step(s(129))), (None, Step::Wait(s(131))), "the write lost");
    }

    #[test]
    fn a_deleted_lease_is_made_again_by_its_leader_and_others_wait_and_go_on_counting() {
        let mut me = candidate();
        me.written(s(0), s(0), Some(record("1", "me", 4)));
        me.observed(s(3), None);
        assert_eq!(me.step(s(3)), Step::Create { transitions: 4 }, "the same leadership");
        let mut other = candidate();
        other.observed(s(0), Some(record("1", "me", 4)));
        other.observed(s(3), None);
        assert_eq!(other.step(s(3)), Step::Wait(s(5)), "its leader may lead for a while");
        for second in [5, 9, 13, 17] {
            other.observed(s(second), None);
        }
        assert_eq!(other.step(s(17)), Step::Wait(s(18)));
        other.observed(s(18), None);
        let Step::Create { transitions } = other.step(s(18)) else { panic!("it is free") };
        assert!(transitions >= 1_004, "above what it may have missed: {transitions}");
    }

    #[test]
    fn an_epoch_that_somebody_has_obeyed_ends_a_lower_leadership_and_the_next_is_above_it() {
        let mut me = candidate();
        me.written(s(0), s(0), Some(record("1", "me", 1)));
        me.learn(Epoch(1));
        assert_eq!(me.leads(s(1)), Some(Epoch(1)), "its own");
        me.learn(Epoch(7));
        assert_eq!(me.leads(s(1)), None);
        me.observed(s(2), Some(record("1", "me", 1)));
        let Step::Replace { transitions, .. } = me.step(s(2)) else { panic!("it is its own") };
        assert!(transitions > 7, "{transitions}");
        me.written(s(2), s(2), Some(record("2", "me", transitions)));
        assert_eq!(me.leads(s(3)), Some(Epoch(transitions)));
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
