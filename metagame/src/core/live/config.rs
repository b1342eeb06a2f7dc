//! Remote configuration: values by key, which differ by segment. The first rule whose condition holds gives the value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{Condition, Facts, NAME_BYTES_MAX};

/// Most rules of a setting.
const RULES_MAX: usize = 32;
/// Largest value as JSON.
const VALUE_BYTES_MAX: usize = 4 * 1_024;

/// A setting of the game.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name, as the game asks for it.
    pub key: String,
    /// Its value where no rule holds. Its type is the setting's type.
    pub value: Value,
    /// For whom it is another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// For whom a setting has another value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For whom.
    #[serde(default)]
    pub when: Condition,
    /// Which.
    pub value: Value,
}

impl Setting {
    /// The value for whoever this is, and the number of the rule that gives it, from 1; 0 is none of them.
    pub fn value_for(&self, facts: &Facts) -> (&Value, usize) {
        let held = self.rules.iter().zip(1..).find(|(rule, _)| rule.when.holds(facts, &self.key));
        held.map_or((&self.value, 0), |(rule, number)| (&rule.value, number))
    }

    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// The first fault, with what to do.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.key.is_empty() || self.key.len() > NAME_BYTES_MAX || !self.key.chars().all(plain) {
            return Err(format!("a key has 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'"));
        }
        if self.rules.len() > RULES_MAX {
            return Err(format!("it has more than {RULES_MAX} rules"));
        }
        let kind =
            kind(&self.value).ok_or("a value is true or false, a number, a text, a list or a table, not null")?;
        for (value, number) in [&self.value].into_iter().chain(self.rules.iter().map(|rule| &rule.value)).zip(0..) {
            let of = if number == 0 { "its value".to_owned() } else { format!("the value of rule {number}") };
            if value.to_string().len() > VALUE_BYTES_MAX {
                return Err(format!("{of} has more than {VALUE_BYTES_MAX} bytes"));
            }
            if self::kind(value) != Some(kind) {
                return Err(format!("{of} is not {kind}, as its value is"));
            }
        }
        for (rule, number) in self.rules.iter().zip(1..) {
            rule.when.check().map_err(|fault| format!("rule {number}: {fault}"))?;
        }
        Ok(())
    }
}

/// The type of a value. A whole number is not one with a fraction: games read them into different types.
fn kind(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some("true or false"),
        Value::Number(number) if number.is_f64() => Some("a number with a fraction"),
        Value::Number(_) => Some("a whole number"),
        Value::String(_) => Some("a text"),
        Value::Array(_) => Some("a list"),
        Value::Object(_) => Some("a table"),
    }
}

/// The values of all settings for whoever this is.
pub fn values<'a>(settings: &'a [Setting], facts: &Facts) -> BTreeMap<&'a str, &'a Value> {
    settings.iter().map(|setting| (setting.key.as_str(), setting.value_for(facts).0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::live::condition::tests::facts;
    use proptest::prelude::*;
    use serde_json::json;

    fn setting(value: Value, rules: Vec<(Condition, Value)>) -> Setting {
        let rules = rules.into_iter().map(|(when, value)| Rule { when, value }).collect();
        Setting { key: "k".into(), value, rules }
    }

    fn level(from: u32) -> Condition {
        Condition { level_from: Some(from), ..Condition::default() }
    }

    #[test]
    fn the_first_rule_that_holds_gives_the_value() {
        let one = setting(json!(1), vec![(level(9), json!(2)), (level(5), json!(3)), (level(1), json!(4))]);
        let at = |level| one.value_for(&Facts { level, ..facts(1) });
        assert_eq!((at(9), at(5), at(1)), ((&json!(2), 1), (&json!(3), 2), (&json!(4), 3)));
        assert_eq!(at(0), (&json!(1), 0));
        assert_eq!(values(&[one], &facts(1)), BTreeMap::from([("k", &json!(3))]));
    }

    #[test]
    fn a_setting_has_one_type() {
        for (value, other) in
            [(json!(1), json!("1")), (json!(1), json!(1.5)), (json!(true), json!(0)), (json!([]), json!({}))]
        {
            let fault = setting(value.clone(), vec![(level(1), other)]).check().expect_err("another type");
            assert!(fault.contains("rule 1"), "{fault}");
            setting(value.clone(), vec![(level(1), value)]).check().expect("one type");
        }
        assert!(setting(Value::Null, vec![]).check().is_err());
        assert!(setting(json!("x".repeat(5_000)), vec![]).check().expect_err("long").contains("bytes"));
        assert!(Setting { key: "no spaces".into(), ..setting(json!(1), vec![]) }.check().is_err());
    }

    proptest! {
        /// Rules that are added behind change nothing for whom an earlier one holds, and a setting always has a value.
        #[test]
        fn later_rules_do_not_disturb_earlier_ones(player: u64, own in 0..20_u32, levels in prop::collection::vec(0..20_u32, 0..8), more in 0..20_u32) {
            let facts = Facts { level: own, ..facts(player) };
            let rules: Vec<_> = levels.iter().enumerate().map(|(n, from)| (level(*from), json!(n))).collect();
            let before = setting(json!(-1), rules.clone());
            let after = setting(json!(-1), rules.into_iter().chain([(level(more), json!(99))]).collect());
            let (value, number) = before.value_for(&facts);
            if number > 0 {
                prop_assert_eq!(after.value_for(&facts), (value, number));
            } else {
                let then = if own >= more { json!(99) } else { json!(-1) };
                prop_assert_eq!(after.value_for(&facts).0, &then);
            }
        }
    }
}
