//! Randomness from a seed that the shell took from the operating system (or that a test fixed).

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

const KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 512;

/// A cryptographically secure generator with fast key erasure: each block of ChaCha20 output first replaces the key,
/// so what was drawn cannot be computed again from a later state
/// (Bernstein 2017, <https://blog.cr.yp.to/20170723-random.html>).
pub struct Entropy {
    block: [u8; BLOCK_BYTES],
    /// Bytes of `block` that are spent, the key at its beginning included.
    used: usize,
}

impl Entropy {
    /// A generator of this seed. Seeds from anything but the operating system's randomness are for tests.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        block[..KEY_BYTES].copy_from_slice(&seed);
        Self { block, used: BLOCK_BYTES }
    }

    /// A generator of its own for a part that runs elsewhere, a worker thread for one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.bytes())
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(BLOCK_BYTES - KEY_BYTES) {
            if self.used + chunk.len() > BLOCK_BYTES {
                self.refill();
            }
            let drawn = &mut self.block[self.used..self.used + chunk.len()];
            chunk.copy_from_slice(drawn);
            drawn.zeroize();
            self.used += chunk.len();
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random number.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn refill(&mut self) {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.block[..KEY_BYTES]).expect("a ChaCha20 key has 32 bytes");
        self.block = [0; BLOCK_BYTES];
        // A zero nonce: no key is used twice.
        let _tag = LessSafeKey::new(key)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut self.block)
            .expect("512 bytes are below the cipher's limit");
        self.used = KEY_BYTES;
    }
}

impl Drop for Entropy {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_no_block_repeats() {
        let mut one = Entropy::new([7; 32]);
        let mut two = Entropy::new([7; 32]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let bytes = one.bytes::<24>();
            assert_eq!(bytes, two.bytes::<24>());
            assert!(seen.insert(bytes), "a block came twice");
        }
        assert_ne!(Entropy::new([8; 32]).next_u64(), Entropy::new([7; 32]).next_u64());
    }

    #[test]
    fn long_draws_and_forks_differ_from_their_parents() {
        let mut parent = Entropy::new([1; 32]);
        let mut long = [0; 2_000];
        parent.fill(&mut long);
        assert!(long.chunks(500).all(|chunk| chunk != &long[..500] || chunk.as_ptr() == long.as_ptr()));
        assert_ne!(parent.fork().next_u64(), parent.next_u64());
    }
}
