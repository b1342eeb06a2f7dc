//! Who took which match and what callers were told: the two must agree.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use protocol::id::{MatchId, ServerId};

/// Written by the scripted servers and by the callers.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    /// Servers that took a match and did not hear Release for it.
    taken: HashMap<MatchId, Vec<ServerId>>,
    told: HashMap<MatchId, ServerId>,
    /// Calls that were told of another server than an earlier call for the same match.
    contradicted: u64,
}

/// What the books come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Matches whose callers were told of a server.
    pub(crate) acknowledged: u64,
    /// Matches that were taken twice, or whose callers were told of two servers.
    pub(crate) double: u64,
    /// Acknowledged matches that the server which was named has not taken.
    pub(crate) misplaced: u64,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("nobody panics with the books open")
    }

    /// A server took a match.
    pub(crate) fn took(&self, match_id: MatchId, server: ServerId) {
        self.books().taken.entry(match_id).or_default().push(server);
    }

    /// A server was told to give a match up before it was played.
    pub(crate) fn released(&self, match_id: MatchId, server: ServerId) {
        if let Some(holders) = self.books().taken.get_mut(&match_id) {
            holders.retain(|holder| *holder != server);
        }
    }

    /// A caller was told of a server.
    pub(crate) fn told(&self, match_id: MatchId, server: ServerId) {
        let mut books = self.books();
        let earlier = *books.told.entry(match_id).or_insert(server);
        books.contradicted += u64::from(earlier != server);
    }

    /// What the books come to.
    pub(crate) fn verdict(&self) -> Verdict {
        let books = self.books();
        let count = |count: usize| u64::try_from(count).expect("fewer than 2^64");
        let holds = |(match_id, server): &(&MatchId, &ServerId)| {
            books.taken.get(match_id).is_some_and(|holders| holders.contains(server))
        };
        let twice = books.taken.values().filter(|holders| holders.len() > 1).count();
        Verdict {
            acknowledged: count(books.told.len()),
            double: count(twice) + books.contradicted,
            misplaced: count(books.told.iter().filter(|entry| !holds(entry)).count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(write: impl Fn(&Ledger, MatchId)) -> (u64, u64, u64) {
        let ledger = Ledger::default();
        write(&ledger, MatchId::from_entropy([7; 16]));
        let Verdict { acknowledged, double, misplaced } = ledger.verdict();
        (acknowledged, double, misplaced)
    }

    #[test]
    fn two_servers_with_one_match_and_a_server_that_does_not_have_it_are_found() {
        let [one, two] = [1, 2].map(|byte| ServerId::from_bytes([byte; 16]));
        let good = |ledger: &Ledger, id| {
            ledger.took(id, one);
            ledger.told(id, one);
            ledger.told(id, one);
        };
        assert_eq!(verdict(good), (1, 0, 0));
        let taken_twice = |ledger: &Ledger, id| {
            good(ledger, id);
            ledger.took(id, two);
        };
        assert_eq!(verdict(taken_twice), (1, 1, 0));
        let moved = |ledger: &Ledger, id| {
            ledger.took(id, two);
            ledger.released(id, two);
            good(ledger, id);
        };
        assert_eq!(verdict(moved), (1, 0, 0));
        let told_twice = |ledger: &Ledger, id| {
            good(ledger, id);
            ledger.told(id, two);
        };
        assert_eq!(verdict(told_twice), (1, 1, 0));
        assert_eq!(verdict(|ledger, id| ledger.told(id, one)), (1, 0, 1));
    }
}
