//! How an endpoint does, judged by its answers: what is logged, and how hard it is tried.

use serde::Serialize;

use crate::core::webhook::Verdict;

/// Failures in a row from which an endpoint, and not one event, is to blame.
const FAILING_FROM: u32 = 3;
/// Deliveries at once to an endpoint that works.
const AT_ONCE: usize = 8;

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It takes events.
    Working,
    /// It does not; it is tried with one delivery at a time.
    Failing,
    /// It said that it is gone: nothing is sent until a restart, or until an operator sends something again.
    Disabled,
}

/// What the answers so far say of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    condition: Condition,
    failures: u32,
}

impl Default for Health {
    /// Nothing speaks against it yet.
    fn default() -> Self {
        Self { condition: Condition::Working, failures: 0 }
    }
}

impl Health {
    /// How it does.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Deliveries that may be under way at once.
    pub fn at_once(&self) -> usize {
        match self.condition {
            Condition::Working => AT_ONCE,
            Condition::Failing => 1,
            Condition::Disabled => 0,
        }
    }

    /// Notes an answer. The condition, if it is another from now on.
    pub fn note(&mut self, verdict: &Verdict) -> Option<Condition> {
        let next = match verdict {
            Verdict::Gone => Condition::Disabled,
            // Answers to deliveries that were under way when it said 410.
            _ if self.condition == Condition::Disabled => Condition::Disabled,
            Verdict::Delivered => {
                self.failures = 0;
                Condition::Working
            }
            Verdict::Failed { .. } => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILING_FROM { Condition::Failing } else { self.condition }
            }
        };
        let changed = next != self.condition;
        self.condition = next;
        changed.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_one_bad_event_is_none() {
        let mut health = Health::default();
        let failed = || Verdict::unanswered("no");
        assert_eq!((health.note(&failed()), health.note(&failed())), (None, None));
        assert_eq!((health.note(&Verdict::Delivered), health.at_once()), (None, AT_ONCE));
        let told: Vec<_> = (0..5).filter_map(|_| health.note(&failed())).collect();
        assert_eq!((told, health.at_once()), (vec![Condition::Failing], 1));
        assert_eq!(health.note(&Verdict::Delivered), Some(Condition::Working));
        assert_eq!(health.note(&Verdict::Gone), Some(Condition::Disabled));
        assert_eq!((health.note(&Verdict::Gone), health.note(&Verdict::Delivered), health.at_once()), (None, None, 0));
    }
}
