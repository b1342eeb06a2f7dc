//! What a vendor of anti-cheat says of a player, and what follows from it.

use serde::{Deserialize, Serialize};

/// What a vendor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// Something looks wrong.
    Suspicious,
    /// The player cheats.
    Cheating,
}

impl Verdict {
    /// The name in JSON and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Suspicious => "suspicious",
            Self::Cheating => "cheating",
        }
    }
}

/// What a studio lets follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// It is only noted.
    Note,
    /// An operator shall look into it.
    #[default]
    Flag,
    /// The player is kept out.
    Ban,
}

/// What follows from the verdicts of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From suspicion.
    pub suspicious: Measure,
    /// From certainty.
    pub cheating: Measure,
    /// How long a ban lasts in milliseconds; `None`: for ever.
    pub ban_ms: Option<u64>,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Note,
    /// An operator shall look into it.
    Flag,
    /// The player is kept out until then; Unix milliseconds, `i64::MAX` for ever.
    Ban(u64),
}

impl Outcome {
    /// The name in JSON and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "none",
            Self::Flag => "flag",
            Self::Ban(_) => "ban",
        }
    }
}

impl Policy {
    /// What follows from a verdict at `now_ms`.
    pub fn judge(&self, verdict: Verdict, now_ms: u64) -> Outcome {
        let measure = match verdict {
            Verdict::Clean => Measure::Note,
            Verdict::Suspicious => self.suspicious,
            Verdict::Cheating => self.cheating,
        };
        let for_ever = i64::MAX as u64;
        match measure {
            Measure::Note => Outcome::Note,
            Measure::Flag => Outcome::Flag,
            Measure::Ban => Outcome::Ban(self.ban_ms.map_or(for_ever, |ms| now_ms.saturating_add(ms).min(for_ever))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_the_studios_to_say() {
        let policy = Policy { suspicious: Measure::Flag, cheating: Measure::Ban, ban_ms: Some(10) };
        assert_eq!(policy.judge(Verdict::Clean, 5), Outcome::Note);
        assert_eq!(policy.judge(Verdict::Suspicious, 5), Outcome::Flag);
        assert_eq!(policy.judge(Verdict::Cheating, 5), Outcome::Ban(15));
        let for_ever = Policy { ban_ms: None, ..policy };
        assert_eq!(for_ever.judge(Verdict::Cheating, 5), Outcome::Ban(i64::MAX as u64));
    }
}
