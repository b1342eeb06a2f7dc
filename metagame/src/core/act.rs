//! The log of privileged acts: a chain of hashes, so that nothing in it is changed, taken out or put in unseen.
//!
//! What a person wrote is sealed before it gets here ([`Act::note`]): the hash is over the sealed bytes, so a player can be
//! forgotten and the chain still holds.

use sha2::{Digest as _, Sha256};

/// Longest code of a reason, in bytes.
pub const REASON_BYTES_MAX: usize = 64;
/// Longest note of an operator, in bytes.
pub const NOTE_BYTES_MAX: usize = 2_000;

/// Something that was done with privilege.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// From 1, without gaps.
    pub number: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Who: `operator:<name>`, `player:<id>`, `system`, or `admin-port` where nobody said who.
    pub actor: String,
    /// What: `ban`, `grant`, ….
    pub act: String,
    /// To whom or what: `player:<id>`, `board:<id>`, ….
    pub subject: String,
    /// Why, as a code.
    pub reason: String,
    /// Words of the operator, sealed under the key of the player whom they concern.
    pub note: Option<Vec<u8>>,
    /// JSON: figures and ids.
    pub detail: String,
    /// Names the request in the server's logs.
    pub request_id: String,
    /// Over the entry before and all of this.
    pub hash: [u8; 32],
}

impl Act {
    /// The hash that it must have after the entry with the hash `before` (zeros before the first). Texts go with their
    /// length before them, numbers as 8 bytes, big end first.
    pub fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"muster-act-1");
        hash.update(before);
        hash.update(self.number.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        for part in [&self.actor, &self.act, &self.subject, &self.reason, &self.detail, &self.request_id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update([u8::from(self.note.is_some())]);
        let note = self.note.as_deref().unwrap_or_default();
        hash.update((note.len() as u64).to_be_bytes());
        hash.update(note);
        hash.finalize().into()
    }
}

/// Something in the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActFault {
    /// Number of the entry.
    pub number: u64,
    /// What is wrong.
    pub fault: String,
}

/// What a check of the log has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActsVerified {
    /// Entries.
    pub entries: u64,
    /// Number and hash of the newest: the same as in the log of the program that wrote it, or the end was cut off.
    pub newest: Option<(u64, [u8; 32])>,
    /// What is wrong, the first first; at most 100.
    pub faults: Vec<ActFault>,
}

impl ActsVerified {
    /// The next entry, in the order of numbers.
    pub fn take(&mut self, act: &Act) {
        let (last, before) = self.newest.unwrap_or((0, [0; 32]));
        self.entries += 1;
        if act.number != last + 1 {
            let fault = format!("entries {} to {} are missing", last + 1, act.number.saturating_sub(1));
            self.fault(act.number, fault);
        } else if act.hash_after(&before) != act.hash {
            self.fault(act.number, "it is not what was written, or not after the entry before".to_owned());
        }
        // From what is there: one fault is told once.
        self.newest = Some((act.number, act.hash));
    }

    fn fault(&mut self, number: u64, fault: String) {
        if self.faults.len() < 100 {
            self.faults.push(ActFault { number, fault });
        }
    }
}

/// Whether this is a code of a reason: 1 to 64 lower-case letters, digits and dashes.
pub fn is_reason(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REASON_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u64) -> Vec<Act> {
        let mut acts: Vec<Act> = Vec::new();
        for number in 1..=length {
            let before = acts.last().map_or([0; 32], |act| act.hash);
            let mut act = Act {
                number,
                at_ms: 1_000 + number,
                actor: "operator:ada".into(),
                act: "ban".into(),
                subject: format!("player:{number}"),
                reason: "cheating".into(),
                note: (number % 2 == 0).then(|| vec![7; 4]),
                detail: "{}".into(),
                request_id: format!("r{number}"),
                hash: [0; 32],
            };
            act.hash = act.hash_after(&before);
            acts.push(act);
        }
        acts
    }

    fn verify(acts: &[Act]) -> ActsVerified {
        let mut verified = ActsVerified::default();
        acts.iter().for_each(|act| verified.take(act));
        verified
    }

    #[test]
    fn a_chain_that_was_left_alone_is_whole() {
        let acts = chain(5);
        let verified = verify(&acts);
        assert!(verified.faults.is_empty(), "{verified:?}");
        assert_eq!((verified.entries, verified.newest), (5, Some((5, acts[4].hash))));
    }

    #[test]
    fn whatever_is_changed_taken_out_or_put_in_is_found() {
        let changes: [fn(&mut Act); 8] = [
            |act| act.at_ms += 1,
            |act| act.actor = "operator:bob".into(),
            |act| act.act = "mute".into(),
            |act| act.subject.push('0'),
            |act| act.reason = "spam".into(),
            |act| act.note = act.note.take().xor(Some(Vec::new())),
            |act| act.detail = "{ }".into(),
            |act| act.request_id.clear(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            for at in 0..5 {
                let mut acts = chain(5);
                change(&mut acts[at]);
                assert_eq!(verify(&acts).faults.first().map(|fault| fault.number), Some(at as u64 + 1), "{index} {at}");
            }
        }
        let mut shorter = chain(5);
        shorter.remove(2);
        assert_eq!(verify(&shorter).faults.first().map(|fault| fault.number), Some(4));
        let mut longer = chain(5);
        let twin = longer[2].clone();
        longer.insert(2, twin);
        assert!(!verify(&longer).faults.is_empty());
    }

    #[test]
    fn a_reason_is_a_code() {
        assert!(is_reason("cheating") && is_reason("aim-bot-2"));
        for bad in ["", "Cheating", "he said so", "é", &"x".repeat(65)] {
            assert!(!is_reason(bad), "{bad}");
        }
    }
}
