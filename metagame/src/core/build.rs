//! Builds of clients, and which of two is older.
//!
//! The rule is that of semantic versioning, taken leniently: an optional `v`, then numbers between dots (absent ones are
//! 0), then perhaps `-` and a pre-release; what follows `+` does not count. `1.4` = `1.4.0` < `1.4.1-rc.2` < `1.4.1`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest build in bytes.
pub const BUILD_BYTES_MAX: usize = 64;
/// Most numbers of a build.
const NUMBERS_MAX: usize = 4;

/// A build that can be compared.
#[derive(Debug, Clone, Eq)]
pub struct Build {
    text: String,
    numbers: [u64; NUMBERS_MAX],
    /// Identifiers of the pre-release; none for a release.
    pre_release: Vec<Identifier>,
}

/// Numbers are older than words, as semantic versioning says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

/// A build that no rule can order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a build that can be compared: expected numbers such as 1.4.2, perhaps with -rc.1 behind")]
pub struct NotABuild(pub String);

impl FromStr for Build {
    type Err = NotABuild;

    fn from_str(text: &str) -> Result<Self, NotABuild> {
        let fault = || NotABuild(text.chars().take(BUILD_BYTES_MAX).collect());
        if text.len() > BUILD_BYTES_MAX {
            return Err(fault());
        }
        let plain = text.split_once('+').map_or(text, |(before, _)| before);
        let plain = plain.strip_prefix('v').unwrap_or(plain);
        let (release, pre_release) = plain.split_once('-').map_or((plain, None), |(a, b)| (a, Some(b)));
        let mut numbers = [0; NUMBERS_MAX];
        for (place, part) in release.split('.').enumerate() {
            *numbers.get_mut(place).ok_or_else(fault)? = number(part).ok_or_else(fault)?;
        }
        let identifiers = pre_release.map(|text| text.split('.').map(identifier).collect::<Option<Vec<_>>>());
        let pre_release = identifiers.map_or(Ok(Vec::new()), |all| all.ok_or_else(fault))?;
        Ok(Self { text: text.to_owned(), numbers, pre_release })
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn identifier(text: &str) -> Option<Identifier> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain.then(|| number(text).map_or_else(|| Identifier::Word(text.to_owned()), Identifier::Number))
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Build {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_release = self.numbers.cmp(&other.numbers);
        by_release.then_with(|| match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre_release.cmp(&other.pre_release),
        })
    }
}

impl PartialOrd for Build {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Build {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(text: &str) -> Build {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn builds_are_ordered_as_semantic_versioning_says() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.7",
            "1.2",
            "1.10",
            "2.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(build(pair[0]) < build(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        assert_eq!(build("v1.4"), build("1.4.0+linux.7"));
    }

    #[test]
    fn what_cannot_be_ordered_is_refused() {
        for bad in
            ["", "dev", "v", "1..2", "1.x", "1.2.3.4.5", "1.0-", "1.0-a..b", "-1", "1.0-ü", "99999999999999999999"]
        {
            assert!(bad.parse::<Build>().is_err(), "{bad}");
        }
        assert!("1".repeat(65).parse::<Build>().is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Build>();
        }
    }
}
