//! What to do after each answer of the allocator, so that nobody ever is in two matches.
//!
//! An unknown outcome (no answer, a lost connection) is never taken for a failure: the server may be playing the match
//! already. So the same match is asked for again with the next attempt number, or it is released; only an
//! acknowledged release gives its players back.

use std::sync::Arc;
use std::time::Duration;

use protocol::pb;
use service::backoff::Backoff;

/// Attempts that may end without a known outcome before the match is released.
pub const UNKNOWN_MAX: u32 = 5;
/// Attempts that may be refused outright before the match fails.
pub const REFUSED_MAX: u32 = 5;
/// Calls that may be refused outright (not: unanswered) while a match is being released, before it fails without a
/// release. After a refusal the match is asked for once more in between: if it is played already, that finds it. When
/// both are refused for so long, the allocator will not act on the match, and nobody holds an assignment.
pub const RELEASE_REFUSED_MAX: u32 = 20;
/// First and longest wait between tries.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What came of the latest step.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Allocate: the match is joinable.
    Placed(Box<pb::Assignment>),
    /// Allocate: no server in time.
    NoServer,
    /// Refused for certain, with the reason.
    Refused(String),
    /// Nobody knows what came of it: no answer, or "retry".
    Unknown(String),
    /// Release: the match is given back.
    Released,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Wait, then ask for a server with this attempt number.
    Allocate {
        /// From 1.
        attempt: u32,
        /// How long to wait first.
        after: Duration,
    },
    /// Wait, then release the match.
    Release {
        /// How long to wait first.
        after: Duration,
        /// Why, for the allocator.
        reason: Arc<str>,
    },
    /// It is decided.
    End(Outcome),
}

/// How the placing of a match ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The match is joinable.
    Placed(Box<pb::Assignment>),
    /// The match is released for certain; its tickets wait again.
    GiveBack {
        /// Why.
        reason: String,
    },
    /// Trying again would not help.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The placing of one match.
#[derive(Debug)]
pub struct Placing {
    attempt: u32,
    unknown: u32,
    refused: u32,
    backoff: Backoff,
    /// Set once the match is being released: how it ends then.
    releasing: Option<Outcome>,
    /// While it is being released: the latest step asked for the match once more.
    asking: bool,
}

impl Default for Placing {
    fn default() -> Self {
        let backoff = Backoff::new(WAIT.0, WAIT.1);
        Self { attempt: 1, unknown: 0, refused: 0, backoff, releasing: None, asking: false }
    }
}

impl Placing {
    /// The first step of a new match.
    pub fn first(&self) -> Step {
        Step::Allocate { attempt: self.attempt, after: Duration::ZERO }
    }

    /// The first step of a match whose placing was lost sight of.
    pub fn release_first(&mut self, reason: &str) -> Step {
        self.release(Outcome::GiveBack { reason: reason.to_owned() })
    }

    /// The step after `answer`. `hurry`: the program is ending, so there is one attempt and then the release.
    pub fn next(&mut self, answer: Answer, entropy: u64, hurry: bool) -> Step {
        if let Some(outcome) = self.releasing.clone() {
            return self.after_release(outcome, answer, entropy);
        }
        match answer {
            Answer::Placed(assignment) => Step::End(Outcome::Placed(assignment)),
            Answer::NoServer => self.release(Outcome::GiveBack { reason: "no server in time".into() }),
            Answer::Refused(reason) => {
                self.refused += 1;
                if self.refused >= REFUSED_MAX || hurry {
                    return self.release(Outcome::Failed { reason });
                }
                self.allocate_again(entropy)
            }
            // An Allocate that is answered with Released would be an allocator's fault; nothing is known then.
            Answer::Unknown(_) | Answer::Released => {
                self.unknown += 1;
                if self.unknown >= UNKNOWN_MAX || hurry {
                    return self.release(Outcome::GiveBack { reason: "the allocator did not answer".into() });
                }
                self.allocate_again(entropy)
            }
        }
    }

    fn allocate_again(&mut self, entropy: u64) -> Step {
        self.attempt += 1;
        Step::Allocate { attempt: self.attempt, after: self.backoff.next(entropy) }
    }

    fn release(&mut self, outcome: Outcome) -> Step {
        let (Outcome::GiveBack { reason } | Outcome::Failed { reason }) = &outcome else {
            return Step::End(outcome);
        };
        let reason = reason.as_str().into();
        self.backoff.reset();
        self.refused = 0;
        self.releasing = Some(outcome);
        Step::Release { after: Duration::ZERO, reason }
    }

    fn after_release(&mut self, outcome: Outcome, answer: Answer, entropy: u64) -> Step {
        let asked = std::mem::take(&mut self.asking);
        match answer {
            Answer::Released => return Step::End(outcome),
            Answer::Placed(assignment) => return Step::End(Outcome::Placed(assignment)),
            Answer::Refused(reason) => {
                self.refused += 1;
                if self.refused >= RELEASE_REFUSED_MAX {
                    return Step::End(Outcome::Failed { reason });
                }
                if !asked {
                    self.asking = true;
                    return self.allocate_again(entropy);
                }
            }
            Answer::NoServer | Answer::Unknown(_) => {}
        }
        let (Outcome::GiveBack { reason } | Outcome::Failed { reason }) = outcome else {
            return Step::End(outcome);
        };
        Step::Release { after: self.backoff.next(entropy), reason: reason.as_str().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> Answer {
        Answer::Unknown("connection lost".into())
    }

    /// Attempt numbers (0: a release) of the steps after each answer, and the end.
    fn run(answers: &[Answer], hurry: bool) -> (Vec<u32>, Option<Outcome>) {
        let mut placing = Placing::default();
        let mut steps = vec![1];
        for answer in answers {
            match placing.next(answer.clone(), 7, hurry) {
                Step::Allocate { attempt, .. } => steps.push(attempt),
                Step::Release { .. } => steps.push(0),
                Step::End(outcome) => return (steps, Some(outcome)),
            }
        }
        (steps, None)
    }

    #[test]
    fn every_way_through() {
        let placed = || Answer::Placed(Box::default());
        let refused = || Answer::Refused("the match has ended".into());
        let give_back = |reason: &str| Some(Outcome::GiveBack { reason: reason.into() });
        let check = |answers: &[Answer], steps: &[u32], end: Option<Outcome>| {
            assert_eq!(run(answers, false), (steps.to_vec(), end), "{answers:?}");
        };
        check(&[placed()], &[1], Some(Outcome::Placed(Box::default())));
        check(&[unknown(), unknown(), placed()], &[1, 2, 3], Some(Outcome::Placed(Box::default())));
        check(&[Answer::NoServer, Answer::Released], &[1, 0], give_back("no server in time"));
        check(
            &[unknown(), unknown(), unknown(), unknown(), unknown(), unknown(), Answer::Released],
            &[1, 2, 3, 4, 5, 0, 0],
            give_back("the allocator did not answer"),
        );
        let failed = Some(Outcome::Failed { reason: "the match has ended".into() });
        let stubborn = [refused(), refused(), refused(), refused(), refused(), Answer::Released];
        check(&stubborn, &[1, 2, 3, 4, 5, 0], failed);
    }

    #[test]
    fn players_are_given_back_only_after_an_acknowledged_release() {
        let mut placing = Placing::default();
        placing.next(Answer::NoServer, 0, false);
        for _ in 0..1_000 {
            assert!(matches!(placing.next(unknown(), 0, false), Step::Release { .. }));
        }
        assert!(matches!(placing.next(Answer::Released, 0, false), Step::End(Outcome::GiveBack { .. })));
    }

    #[test]
    fn a_match_that_cannot_be_released_because_it_is_played_is_found_again() {
        let answers = [Answer::NoServer, Answer::Refused("it is being played".into()), Answer::Placed(Box::default())];
        assert_eq!(run(&answers, false), (vec![1, 0, 2], Some(Outcome::Placed(Box::default()))));
        let answers = [Answer::NoServer, Answer::Refused("no leader".into()), Answer::NoServer, Answer::Released];
        assert_eq!(run(&answers, false).0, [1, 0, 2, 0]);
    }

    #[test]
    fn a_release_that_is_refused_for_certain_ends_at_last() {
        let mut placing = Placing::default();
        placing.next(Answer::NoServer, 0, false);
        let refused = || Answer::Refused("no".into());
        let ends = (1..).find(|_| matches!(placing.next(refused(), 0, false), Step::End(Outcome::Failed { .. })));
        assert_eq!(ends, Some(RELEASE_REFUSED_MAX));
    }

    #[test]
    fn in_a_hurry_one_unknown_outcome_leads_to_the_release() {
        assert_eq!(run(&[unknown()], true).0, [1, 0]);
        let mut placing = Placing::default();
        assert!(matches!(placing.release_first("lost"), Step::Release { .. }));
        assert!(matches!(placing.next(Answer::Released, 0, true), Step::End(Outcome::GiveBack { .. })));
    }
}
