//! Seals over the books: a Merkle root for each stretch of time, chained. One chain over all entries would make every purchase
//! wait for the one before; a seal is made afterwards, of what is there.

use sha2::{Digest as _, Sha256};

/// How long after an entry its stretch may be sealed: whatever carries an earlier time has been written, or never will be.
/// Longer than any use case may take, with room for clocks of several instances.
pub const SEAL_LAG_MS: u64 = 60_000;

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// From 1.
    pub number: u64,
    /// Unix milliseconds of the begin: the end of the seal before.
    pub from_ms: u64,
    /// Unix milliseconds of the end, which does not belong to it.
    pub until_ms: u64,
    /// Entries within.
    pub entries: u64,
    /// [`root`] over their hashes.
    pub root: [u8; 32],
    /// Over all of this and the seal before.
    pub hash: [u8; 32],
}

impl Seal {
    /// The seal after `before` over the entries with these hashes, in the order of time and id.
    pub fn over(before: Option<&Self>, until_ms: u64, entries: &[[u8; 32]]) -> Self {
        let (number, from_ms) = before.map_or((1, 0), |before| (before.number + 1, before.until_ms));
        let mut seal =
            Self { number, from_ms, until_ms, entries: entries.len() as u64, root: root(entries), hash: [0; 32] };
        seal.hash = seal.hash_after(before.map_or([0; 32], |before| before.hash));
        seal
    }

    /// What its hash has to be after a seal with the hash `before`.
    pub fn hash_after(&self, before: [u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"muster-ledger-seal-1");
        hash.update(before);
        for number in [self.number, self.from_ms, self.until_ms, self.entries] {
            hash.update(number.to_be_bytes());
        }
        hash.update(self.root);
        hash.finalize().into()
    }
}

/// The Merkle root of these leaves, in order, as RFC 9162 (section 2.1.1) has it: leaves and nodes are hashed with different first
/// bytes, and a tree splits at the largest power of two below its size. A single entry can be proved by a path of hashes.
pub fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => hash(&[&[0], leaf]),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            hash(&[&[1], &root(&leaves[..split]), &root(&leaves[split..])])
        }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_depends_on_every_leaf_and_on_their_order() {
        let leaves: Vec<[u8; 32]> = (0..7).map(|n| [n; 32]).collect();
        let whole = root(&leaves);
        for n in 0..7 {
            let mut other = leaves.clone();
            other[n][31] ^= 1;
            assert_ne!(root(&other), whole);
        }
        let mut swapped = leaves.clone();
        swapped.swap(2, 3);
        assert_ne!(root(&swapped), whole);
        assert_ne!(root(&leaves[..6]), whole);
        // A node cannot pass for a leaf.
        assert_ne!(root(&[root(&leaves[..2])]), root(&leaves[..2]));
    }

    #[test]
    fn the_root_is_that_of_the_rfc() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        let left = hash(&[&[1], &hash(&[&[0], &a]), &hash(&[&[0], &b])]);
        assert_eq!(root(&[a, b, c]), hash(&[&[1], &left, &hash(&[&[0], &c])]));
        assert_eq!(hex::encode(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_seal_holds_the_one_before() {
        let first = Seal::over(None, 10, &[[1; 32]]);
        let second = Seal::over(Some(&first), 20, &[]);
        assert_eq!((first.from_ms, second.from_ms, second.number), (0, 10, 2));
        assert_eq!(second.hash, second.hash_after(first.hash));
        assert_ne!(second.hash, Seal::over(Some(&Seal::over(None, 10, &[[2; 32]])), 20, &[]).hash);
    }
}
