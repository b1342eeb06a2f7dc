//! When each session wants to be woken.

use crate::Micros;
use crate::endpoint::SessionId;

/// Times with their sessions, the latest first: the next one to come is taken from the end. A sorted vector, because
/// every packet moves a timer, and a tree would allocate a node for every few of them; moving 1,000 entries of 16 bytes
/// costs less than that.
#[derive(Debug, Default)]
pub(super) struct Timers(Vec<(Micros, SessionId)>);

impl Timers {
    /// The next timer.
    pub(super) fn first(&self) -> Option<(Micros, SessionId)> {
        self.0.last().copied()
    }

    /// Takes the next timer if it is due.
    pub(super) fn pop_due(&mut self, now: Micros) -> Option<SessionId> {
        let (_, session) = self.0.pop_if(|(due, _)| *due <= now)?;
        Some(session)
    }

    pub(super) fn insert(&mut self, at: Micros, session: SessionId) {
        if let Err(place) = self.find(at, session) {
            self.0.insert(place, (at, session));
        }
    }

    pub(super) fn remove(&mut self, at: Micros, session: SessionId) {
        if let Ok(place) = self.find(at, session) {
            self.0.remove(place);
        }
    }

    fn find(&self, at: Micros, session: SessionId) -> Result<usize, usize> {
        self.0.binary_search_by(|timer| (at, session).cmp(timer))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_come_in_order_of_time(changes in proptest::collection::vec((any::<bool>(), 0u64..20, 0u64..5), 0..60), now in 0u64..20) {
            let (mut timers, mut model) = (Timers::default(), BTreeSet::new());
            for (set, at, session) in changes {
                let (at, session) = (Micros(at), SessionId(session));
                if set {
                    timers.insert(at, session);
                    model.insert((at, session));
                } else {
                    timers.remove(at, session);
                    model.remove(&(at, session));
                }
                prop_assert_eq!(timers.first(), model.first().copied());
            }
            let due: Vec<SessionId> = std::iter::from_fn(|| timers.pop_due(Micros(now))).collect();
            let expected: Vec<SessionId> = model.range(..(Micros(now + 1), SessionId(0))).map(|timer| timer.1).collect();
            prop_assert_eq!(due, expected);
        }
    }
}
