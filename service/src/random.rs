//! The operating system's randomness, for shells only: pure code gets entropy as an argument.

/// `N` random bytes.
///
/// # Panics
/// If the operating system has no randomness to give; nothing that needs keys can run without it.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// A random number.
pub fn u64() -> u64 {
    u64::from_le_bytes(bytes())
}
