//! Bans and mutes: which of an account's hold now, and until when.

use std::str::FromStr;

/// What a sanction keeps its player from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanctionKind {
    /// Logging in.
    Ban,
    /// Saying anything.
    Mute,
}

impl SanctionKind {
    /// Its name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Mute => "mute",
        }
    }
}

/// A name that is no kind of sanction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sanction is \"ban\" or \"mute\"")]
pub struct UnknownSanction;

impl FromStr for SanctionKind {
    type Err = UnknownSanction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Ban, Self::Mute].into_iter().find(|kind| kind.name() == text).ok_or(UnknownSanction)
    }
}

/// How long a sanction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Unix milliseconds; `None`: for ever.
    pub until_ms: Option<u64>,
    /// Unix milliseconds at which an operator lifted it.
    pub lifted_at_ms: Option<u64>,
}

impl Term {
    /// Whether it holds.
    pub fn holds(self, now_ms: u64) -> bool {
        self.lifted_at_ms.is_none() && self.until_ms.is_none_or(|until_ms| until_ms > now_ms)
    }
}

/// Until when the last of these that hold ends; `None`: none holds. One that holds for ever ends at [`FOR_EVER_MS`].
pub fn ends_at_ms(terms: impl IntoIterator<Item = Term>, now_ms: u64) -> Option<u64> {
    let ends = terms.into_iter().filter(|term| term.holds(now_ms));
    ends.map(|term| term.until_ms.unwrap_or(FOR_EVER_MS)).max()
}

/// The end of what has none: what the database's integers can hold.
pub const FOR_EVER_MS: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn term(until_ms: Option<u64>, lifted_at_ms: Option<u64>) -> Term {
        Term { until_ms, lifted_at_ms }
    }

    #[test]
    fn the_longest_of_those_that_hold_counts() {
        let terms = [term(Some(100), None), term(Some(300), None), term(Some(900), Some(5)), term(Some(10), None)];
        assert_eq!(ends_at_ms(terms, 50), Some(300));
        assert_eq!(ends_at_ms(terms, 300), None, "over at its end, and the lifted one does not count");
        assert_eq!(ends_at_ms([term(None, None), term(Some(100), None)], 50), Some(FOR_EVER_MS));
        assert_eq!(ends_at_ms([term(None, Some(1))], 50), None);
        assert_eq!(ends_at_ms([], 50), None);
    }

    #[test]
    fn kinds_have_names() {
        for kind in [SanctionKind::Ban, SanctionKind::Mute] {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("warn".parse::<SanctionKind>(), Err(UnknownSanction));
    }
}
