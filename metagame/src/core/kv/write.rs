//! What becomes of writes.

use std::collections::BTreeMap;

use protocol::id::PlayerId;
use sha2::{Digest as _, Sha256};

use super::{Place, Quota};

/// What must be there for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expects {
    /// Whatever there is.
    Anything,
    /// Nothing (`If-None-Match: *`).
    Absent,
    /// Some value (`If-Match: *`).
    Present,
    /// A value of one of these versions (`If-Match`).
    Versions(Vec<u64>),
}

/// A value that is written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub place: Place,
    /// What; `None` deletes.
    pub value: Option<String>,
    /// What must be there.
    pub expects: Expects,
    /// Whether the value counts against the account's quota.
    pub counted: bool,
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Each at another place.
    pub changes: Vec<Change>,
    /// Whether the quota holds: not for servers.
    pub quota: Option<Quota>,
}

/// A value as far as a write must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its version.
    pub version: u64,
    /// Hash of the write that it came from.
    pub mark: [u8; 16],
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it counts against the quota.
    pub counted: bool,
}

/// What an account keeps, of what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of all values.
    pub bytes: u64,
    /// Values.
    pub count: u64,
}

/// All that the changes of some requests are about, as it is: places without a value are absent, and so are players without
/// an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// Values.
    pub held: BTreeMap<Place, Held>,
    /// Accounts.
    pub usage: BTreeMap<PlayerId, Usage>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Something else is there than was expected.
    Stale {
        /// Its version; `None`: nothing is there.
        version: Option<u64>,
    },
    /// The account would keep more than it may.
    Full {
        /// What it would keep.
        usage: Usage,
    },
    /// The player has no account.
    NoPlayer,
}

/// What became of a request: a version for each change (`None` for what is gone), or the first change that is in the way.
pub type Outcome = Result<Vec<Option<u64>>, (usize, Refusal)>;

/// Decides requests one after another. `moment` holds afterwards what is there afterwards.
pub fn decide(requests: &[Request], moment: &mut Moment, now_ms: u64) -> Vec<Outcome> {
    requests
        .iter()
        .map(|request| {
            let mut after = moment.clone_for(request);
            let versions = apply(request, &mut after, now_ms)?;
            moment.take(request, after);
            Ok(versions)
        })
        .collect()
}

impl Moment {
    /// The part that a request is about.
    fn clone_for(&self, request: &Request) -> Self {
        let mut part = Self::default();
        for change in &request.changes {
            if let Some(held) = self.held.get(&change.place) {
                part.held.insert(change.place.clone(), *held);
            }
            if let Some(usage) = self.usage.get(&change.place.player) {
                part.usage.insert(change.place.player, *usage);
            }
        }
        part
    }

    /// Takes over what a request has made of its part.
    fn take(&mut self, request: &Request, after: Self) {
        for change in &request.changes {
            self.held.remove(&change.place);
        }
        self.held.extend(after.held);
        self.usage.extend(after.usage);
    }
}

fn apply(request: &Request, moment: &mut Moment, now_ms: u64) -> Outcome {
    let mut versions = Vec::with_capacity(request.changes.len());
    for (at, change) in request.changes.iter().enumerate() {
        versions.push(change.apply(moment, now_ms).map_err(|refusal| (at, refusal))?);
    }
    let Some(quota) = request.quota else { return Ok(versions) };
    for (at, change) in request.changes.iter().enumerate() {
        let usage = moment.usage.get(&change.place.player).copied().unwrap_or_default();
        // Who keeps more than a quota that was lowered may still make it less.
        if change.value.is_some() && change.counted && (usage.bytes > quota.bytes || usage.count > quota.count) {
            return Err((at, Refusal::Full { usage }));
        }
    }
    Ok(versions)
}

impl Change {
    fn apply(&self, moment: &mut Moment, now_ms: u64) -> Result<Option<u64>, Refusal> {
        let before = moment.held.get(&self.place).copied();
        let usage = moment.usage.get_mut(&self.place.player).ok_or(Refusal::NoPlayer)?;
        let mark = self.mark();
        match (before, &self.value) {
            // It has happened before, and whoever asks again did not hear of it (RFC 9110, 13.1.1).
            (Some(held), Some(_)) if held.mark == mark && held.counted == self.counted => {
                return Ok(Some(held.version));
            }
            (None, None) => return Ok(None),
            _ => {}
        }
        if !self.expects.is_met(before) {
            return Err(Refusal::Stale { version: before.map(|held| held.version) });
        }
        if let Some(held) = before.filter(|held| held.counted) {
            usage.bytes = usage.bytes.saturating_sub(held.bytes);
            usage.count = usage.count.saturating_sub(1);
        }
        let Some(value) = &self.value else {
            moment.held.remove(&self.place);
            return Ok(None);
        };
        let bytes = value.len() as u64;
        if self.counted {
            usage.bytes += bytes;
            usage.count += 1;
        }
        let version = before.map_or(0, |held| held.version + 1).max(now_ms);
        moment.held.insert(self.place.clone(), Held { version, mark, bytes, counted: self.counted });
        Ok(Some(version))
    }

    /// Names the write: what was expected, and what was written.
    fn mark(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        match &self.expects {
            Expects::Anything => hash.update(b"a"),
            Expects::Absent => hash.update(b"0"),
            Expects::Present => hash.update(b"1"),
            Expects::Versions(versions) => {
                hash.update(b"v");
                hash.update((versions.len() as u64).to_be_bytes());
                versions.iter().for_each(|version| hash.update(version.to_be_bytes()));
            }
        }
        hash.update(self.value.as_deref().unwrap_or_default());
        let hash: [u8; 32] = hash.finalize().into();
        hash[..16].try_into().expect("16 of 32 bytes")
    }
}

impl Expects {
    fn is_met(&self, held: Option<Held>) -> bool {
        match (self, held) {
            (Self::Anything, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Versions(versions), Some(held)) => versions.contains(&held.version),
            (Self::Absent, Some(_)) | (Self::Present | Self::Versions(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_000;

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    fn place(n: u8, key: &str) -> Place {
        Place { player: player(n), collection: "saves".into(), key: key.into() }
    }

    fn put(n: u8, key: &str, value: &str, expects: Expects) -> Change {
        Change { place: place(n, key), value: Some(value.into()), expects, counted: true }
    }

    fn one(change: Change) -> Request {
        Request { changes: vec![change], quota: Some(Quota { bytes: 10, count: 3 }) }
    }

    fn accounts(count: u8) -> Moment {
        Moment { usage: (1..=count).map(|n| (player(n), Usage::default())).collect(), ..Moment::default() }
    }

    fn run(moment: &mut Moment, request: Request) -> Outcome {
        decide(&[request], moment, NOW).remove(0)
    }

    #[test]
    fn a_condition_decides_and_the_same_write_again_changes_nothing() {
        let mut moment = accounts(1);
        let first = put(1, "a", "1", Expects::Absent);
        assert_eq!(run(&mut moment, one(first.clone())), Ok(vec![Some(NOW)]));
        assert_eq!(run(&mut moment, one(first)), Ok(vec![Some(NOW)]), "its answer was lost");
        let other = one(put(1, "a", "2", Expects::Absent));
        assert_eq!(run(&mut moment, other), Err((0, Refusal::Stale { version: Some(NOW) })));
        let next = put(1, "a", "2", Expects::Versions(vec![7, NOW]));
        assert_eq!(run(&mut moment, one(next.clone())), Ok(vec![Some(NOW + 1)]));
        assert_eq!(run(&mut moment, one(next)), Ok(vec![Some(NOW + 1)]));
        let late = one(put(1, "a", "3", Expects::Versions(vec![NOW])));
        assert_eq!(run(&mut moment, late), Err((0, Refusal::Stale { version: Some(NOW + 1) })));
        let nowhere = one(put(1, "b", "3", Expects::Present));
        assert_eq!(run(&mut moment, nowhere), Err((0, Refusal::Stale { version: None })));
        assert_eq!(run(&mut moment, one(put(2, "a", "1", Expects::Anything))), Err((0, Refusal::NoPlayer)));
    }

    #[test]
    fn a_request_is_whole_or_refused_and_the_next_goes_on() {
        let mut moment = accounts(1);
        let requests = [
            Request {
                changes: vec![put(1, "a", "1", Expects::Anything), put(1, "b", "1", Expects::Present)],
                quota: None,
            },
            one(put(1, "c", "1", Expects::Anything)),
        ];
        let outcomes = decide(&requests, &mut moment, NOW);
        assert_eq!(outcomes, [Err((1, Refusal::Stale { version: None })), Ok(vec![Some(NOW)])]);
        assert_eq!(moment.held.keys().collect::<Vec<_>>(), [&place(1, "c")]);
        assert_eq!(moment.usage[&player(1)], Usage { bytes: 1, count: 1 });
    }

    #[test]
    fn the_quota_holds_for_players_and_not_for_what_servers_write() {
        let mut moment = accounts(1);
        assert!(run(&mut moment, one(put(1, "a", "12345", Expects::Anything))).is_ok());
        let full = Usage { bytes: 11, count: 2 };
        assert_eq!(
            run(&mut moment, one(put(1, "b", "123456", Expects::Anything))),
            Err((0, Refusal::Full { usage: full }))
        );
        assert!(run(&mut moment, one(put(1, "a", "1234567890", Expects::Anything))).is_ok(), "it replaces what it is");
        let uncounted = Change { counted: false, ..put(1, "s", "1234567890", Expects::Anything) };
        assert!(run(&mut moment, one(uncounted)).is_ok());
        let server = Request { quota: None, ..one(put(1, "b", "1", Expects::Anything)) };
        assert!(run(&mut moment, server).is_ok());
        let delete = Change { value: None, ..put(1, "a", "", Expects::Anything) };
        assert_eq!(run(&mut moment, one(delete.clone())), Ok(vec![None]));
        assert_eq!(run(&mut moment, one(delete)), Ok(vec![None]), "what is gone is gone");
        assert_eq!(moment.usage[&player(1)], Usage { bytes: 1, count: 1 });
    }

    #[test]
    fn what_is_made_anew_has_another_version() {
        let mut moment = accounts(1);
        let first = run(&mut moment, one(put(1, "a", "1", Expects::Absent)));
        run(&mut moment, one(Change { value: None, ..put(1, "a", "", Expects::Anything) })).expect("deleted");
        let again = decide(&[one(put(1, "a", "1", Expects::Absent))], &mut moment, NOW + 5).remove(0);
        assert_ne!(first, again);
    }

    fn changes() -> impl Strategy<Value = Change> {
        let expects = prop_oneof![
            3 => Just(Expects::Anything), 1 => Just(Expects::Absent), 1 => Just(Expects::Present),
            1 => (NOW..NOW + 6).prop_map(|version| Expects::Versions(vec![version])),
        ];
        let value = prop_oneof![4 => "[0-9]{1,6}".prop_map(Some), 1 => Just(None)];
        (1..3_u8, 0..4_u8, value, expects, prop::bool::weighted(0.8)).prop_map(|(n, key, value, expects, counted)| {
            Change { place: place(n, &key.to_string()), value, expects, counted }
        })
    }

    proptest! {
        #[test]
        fn usage_is_the_sum_of_what_is_kept_and_no_version_comes_twice(
            requests in prop::collection::vec((prop::collection::vec(changes(), 1..4), any::<bool>()), 1..30)
        ) {
            let quota = Quota { bytes: 10, count: 3 };
            let mut moment = accounts(2);
            for (mut changes, by_player) in requests {
                changes.sort_by(|a, b| a.place.cmp(&b.place));
                changes.dedup_by(|a, b| a.place == b.place);
                let before = moment.clone();
                let request = Request { changes, quota: by_player.then_some(quota) };
                let outcome = decide(std::slice::from_ref(&request), &mut moment, NOW).remove(0);
                if outcome.is_err() {
                    prop_assert_eq!(&before, &moment, "a refusal leaves everything as it was");
                }
                for (place, held) in &moment.held {
                    if let Some(old) = before.held.get(place) {
                        prop_assert!(held.version > old.version || held == old);
                    }
                }
                for (player, usage) in &moment.usage {
                    let own = moment.held.iter().filter(|(place, held)| place.player == *player && held.counted);
                    let sum = own.fold(Usage::default(), |sum, (_, held)| Usage {
                        bytes: sum.bytes + held.bytes, count: sum.count + 1,
                    });
                    prop_assert_eq!(sum, *usage);
                }
                let again = decide(&[request], &mut moment.clone(), NOW).remove(0);
                if outcome.is_ok() {
                    prop_assert!(again.is_ok(), "a repetition of what has happened is no fault: {:?}", again);
                }
            }
        }
    }
}
