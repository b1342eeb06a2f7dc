//! Segments: conditions over what is known of a player.
//!
//! Level is the server's own knowledge. Region, platform and build are what the client says in its request, so nothing that is
//! worth a lie may hang on them.

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::build::Build;

/// Most names of a list.
const NAMES_MAX: usize = 64;
/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Parts into which players are drawn: a percentage has three digits behind the point.
const PARTS: u64 = 100_000;

/// What is known of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who it is.
    pub player: PlayerId,
    /// The player's level, from 1.
    pub level: u32,
    /// Where the client says it is.
    pub region: Option<String>,
    /// What the client says it runs on.
    pub platform: Option<String>,
    /// What the client says it is.
    pub build: Option<String>,
}

/// A condition; every part that is there must hold. Without parts it holds for everybody.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// One of these regions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// One of these platforms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// A build not older than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_from: Option<String>,
    /// A build older than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_before: Option<String>,
    /// At least this level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_from: Option<u32>,
    /// At most this level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_to: Option<u32>,
    /// A share of all accounts, always the same ones; 0 to 100. Who is in at some percentage is in at every higher one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What the share is drawn by: conditions of one name draw the same accounts. Without it, by what the condition is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<String>,
}

impl Condition {
    /// Whether it holds. `key` names what it is for.
    pub fn holds(&self, facts: &Facts, key: &str) -> bool {
        let one_of = |names: &[String], said: &Option<String>| {
            names.is_empty() || said.as_ref().is_some_and(|said| names.contains(said))
        };
        one_of(&self.regions, &facts.region)
            && one_of(&self.platforms, &facts.platform)
            && self.holds_build(facts)
            && self.level_from.is_none_or(|from| facts.level >= from)
            && self.level_to.is_none_or(|to| facts.level <= to)
            && self
                .percent
                .is_none_or(|percent| part(facts.player, self.draw.as_deref().unwrap_or(key)) < parts(percent))
    }

    /// A build that cannot be compared is in no range of builds.
    fn holds_build(&self, facts: &Facts) -> bool {
        if self.build_from.is_none() && self.build_before.is_none() {
            return true;
        }
        let Some(said) = facts.build.as_ref().and_then(|build| build.parse::<Build>().ok()) else { return false };
        let bound = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Build>().ok());
        bound(&self.build_from).is_none_or(|from| said >= from) && bound(&self.build_before).is_none_or(|to| said < to)
    }

    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// The first fault, with what to do.
    pub fn check(&self) -> Result<(), String> {
        for names in [&self.regions, &self.platforms] {
            if names.len() > NAMES_MAX || names.iter().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
                return Err(format!("a list has at most {NAMES_MAX} names of 1 to {NAME_BYTES_MAX} bytes"));
            }
        }
        for build in [&self.build_from, &self.build_before].into_iter().flatten() {
            build.parse::<Build>().map_err(|error| error.to_string())?;
        }
        if let (Some(from), Some(to)) = (self.level_from, self.level_to)
            && from > to
        {
            return Err(format!("level_from {from} is above level_to {to}"));
        }
        if self.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err("percent is 0 to 100".to_owned());
        }
        if self.draw.is_some() && self.percent.is_none() {
            return Err("draw needs a percent".to_owned());
        }
        Ok(())
    }
}

/// How many of [`PARTS`] a percentage is.
fn parts(percent: f64) -> u64 {
    (percent * (PARTS / 100) as f64).round() as u64
}

/// Which part an account is drawn into: the same for the same key for ever, and independent for others.
fn part(player: PlayerId, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"muster share v1");
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(player.to_bytes());
    let first = hash.finalize()[..8].try_into().expect("eight bytes");
    u64::from_be_bytes(first) % PARTS
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::core::live) fn facts(n: u64) -> Facts {
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&n.to_be_bytes());
        Facts { player: PlayerId::from_entropy(entropy), level: 7, region: None, platform: None, build: None }
    }

    #[test]
    fn every_part_must_hold_and_what_is_not_known_is_in_no_list() {
        let condition = Condition {
            regions: vec!["eu".into(), "us".into()],
            platforms: vec!["pc".into()],
            build_from: Some("1.4".into()),
            build_before: Some("2.0".into()),
            level_from: Some(5),
            level_to: Some(9),
            ..Condition::default()
        };
        let text = |text: &str| Some(text.to_owned());
        let good = Facts { region: text("us"), platform: text("pc"), build: text("1.9.9"), ..facts(1) };
        assert!(condition.holds(&good, "k"));
        let others = [
            Facts { region: text("asia"), ..good.clone() },
            Facts { region: None, ..good.clone() },
            Facts { platform: None, ..good.clone() },
            Facts { build: text("2.0"), ..good.clone() },
            Facts { build: text("1.4-rc.1"), ..good.clone() },
            Facts { build: text("dev"), ..good.clone() },
            Facts { build: None, ..good.clone() },
            Facts { level: 4, ..good.clone() },
            Facts { level: 10, ..good },
        ];
        for other in others {
            assert!(!condition.holds(&other, "k"), "{other:?}");
        }
        assert!(Condition::default().holds(&facts(1), "k"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let fault = |condition: Condition| condition.check().expect_err("a fault");
        assert!(fault(Condition { build_from: Some("dev".into()), ..Condition::default() }).contains("dev"));
        assert!(fault(Condition { level_from: Some(2), level_to: Some(1), ..Condition::default() }).contains("above"));
        assert!(fault(Condition { percent: Some(101.0), ..Condition::default() }).contains("0 to 100"));
        assert!(fault(Condition { percent: Some(f64::NAN), ..Condition::default() }).contains("0 to 100"));
        assert!(fault(Condition { draw: Some("a".into()), ..Condition::default() }).contains("percent"));
    }

    #[test]
    fn a_share_has_about_its_size_and_two_keys_draw_others() {
        let drawn = |key: &str, percent: f64| {
            let condition = Condition { percent: Some(percent), ..Condition::default() };
            (0..20_000).filter(|n| condition.holds(&facts(*n), key)).count()
        };
        for (percent, about) in [(0.0, 0), (1.0, 200), (12.5, 2_500), (50.0, 10_000), (100.0, 20_000)] {
            assert!(drawn("a", percent).abs_diff(about) <= 300, "{percent}: {}", drawn("a", percent));
        }
        let half = |key: &'static str| {
            move |n: &u64| Condition { percent: Some(50.0), ..Condition::default() }.holds(&facts(*n), key)
        };
        let both = (0..20_000).filter(half("a")).filter(half("b")).count();
        assert!(both.abs_diff(5_000) <= 300, "{both}");
        let named = |key| {
            Condition { percent: Some(50.0), draw: Some("one".into()), ..Condition::default() }.holds(&facts(3), key)
        };
        assert_eq!(named("a"), named("b"), "one draw for both");
    }

    proptest! {
        /// Who is in at some percentage is in at every higher one.
        #[test]
        fn a_share_that_grows_keeps_whom_it_had(n: u64, a in 0.0..100.0_f64, b in 0.0..100.0_f64) {
            let holds = |percent| Condition { percent: Some(percent), ..Condition::default() }.holds(&facts(n), "key");
            prop_assert!(!holds(a.min(b)) || holds(a.max(b)));
            prop_assert!(holds(100.0) && !holds(0.0));
        }
    }
}
