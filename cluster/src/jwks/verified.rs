//! Tokens whose signature was found good, and what they say: bounded, and those in use stay.

use std::collections::HashMap;
use std::sync::Arc;

/// Tokens of one generation. There are two: those seen lately, and those seen before them.
const GENERATION: usize = 512;

/// What verified tokens say. Nothing gets in but by a good signature, so a stranger pushes nobody out.
pub(super) struct Verified<C> {
    young: HashMap<Box<str>, Arc<C>>,
    old: HashMap<Box<str>, Arc<C>>,
}

impl<C> Default for Verified<C> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<C> Verified<C> {
    /// What this token says, if its signature was found good before.
    pub(super) fn get(&mut self, token: &str) -> Option<Arc<C>> {
        if let Some(claims) = self.young.get(token) {
            return Some(claims.clone());
        }
        let (token, claims) = self.old.remove_entry(token)?;
        self.put(token, claims.clone());
        Some(claims)
    }

    /// Keeps what a token says whose signature is good.
    pub(super) fn insert(&mut self, token: &str, claims: Arc<C>) {
        self.put(token.into(), claims);
    }

    fn put(&mut self, token: Box<str>, claims: Arc<C>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, claims);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_use_stays_while_any_number_of_others_come_and_go() {
        let mut verified = Verified::default();
        verified.insert("in use", Arc::new(7));
        for number in 0..10 * GENERATION {
            verified.insert(&format!("token {number}"), Arc::new(number));
            assert_eq!(verified.get("in use").as_deref(), Some(&7), "after {number} others");
            assert!(verified.young.len() + verified.old.len() <= 2 * GENERATION);
        }
        assert_eq!(verified.get("token 0"), None);
    }
}
