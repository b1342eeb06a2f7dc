//! A studio's own rules: what they may refuse, what they are told of it, and when one refuses.
//!
//! A rule is data: tests over the facts of an act. Where all of its tests hold, the act is refused. A test about a fact that
//! is not known does not hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most tests of a rule.
const TESTS_MAX: usize = 16;
/// Most texts of a list, and the longest of them in bytes.
const TEXTS_MAX: usize = 1_024;
const TEXT_BYTES_MAX: usize = 128;
/// Longest id of a rule and longest code of a refusal in bytes.
pub const CODE_BYTES_MAX: usize = 64;
/// Longest message of a refusal in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256;
/// How facts that are figures of the game begin: `stat.kills`.
const STAT: &str = "stat.";

/// What a rule may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Buying an offer, for a currency of the game or for money.
    Purchase,
    /// Giving items away.
    Gift,
    /// Offering a trade.
    Trade,
    /// Taking a name.
    Name,
    /// Making a party, inviting into one, entering one.
    Party,
    /// Queueing for a match.
    Queue,
    /// The result of a match.
    Result,
}

/// What kind of thing a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// Yes or no.
    Flag,
}

/// Something that is known of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(String),
}

/// A count.
impl From<u64> for Fact {
    fn from(count: u64) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What is known of an act, by name.
pub type Facts = BTreeMap<String, Fact>;

/// What is known of the player, in every act but a result.
const OF_PLAYER: [(&str, FactKind); 5] = [
    ("level", FactKind::Number),
    ("prestige", FactKind::Number),
    ("matches", FactKind::Number),
    ("wins", FactKind::Number),
    ("account_hours", FactKind::Number),
];

impl Act {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Purchase, Self::Gift, Self::Trade, Self::Name, Self::Party, Self::Queue, Self::Result];

    /// The name in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Gift => "gift",
            Self::Trade => "trade",
            Self::Name => "name",
            Self::Party => "party",
            Self::Queue => "queue",
            Self::Result => "result",
        }
    }

    /// What is known of it, besides its player.
    fn own_facts(self) -> &'static [(&'static str, FactKind)] {
        use FactKind::{Flag, Number, Text};
        match self {
            Self::Purchase => &[("offer", Text), ("quantity", Number), ("currency", Text), ("for_money", Flag)],
            Self::Gift => &[("quantity", Number)],
            Self::Trade => &[("items", Number), ("currencies", Number)],
            Self::Name => &[("name", Text)],
            Self::Party => &[("action", Text), ("size_max", Number)],
            Self::Queue => &[("queue", Text), ("build", Text), ("with_party", Flag)],
            Self::Result => &[
                ("queue", Text),
                ("reason", Text),
                ("seconds", Number),
                ("players", Number),
                ("score_max", Number),
                ("score_min", Number),
            ],
        }
    }

    /// What kind of thing a fact of this act is; `None`: there is no such fact.
    pub fn fact(self, name: &str) -> Option<FactKind> {
        if self == Self::Result && name.len() > STAT.len() && name.starts_with(STAT) {
            return Some(FactKind::Number);
        }
        let of_player = OF_PLAYER.iter().filter(|_| self != Self::Result);
        self.own_facts().iter().chain(of_player).find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    fn fact_names(self) -> String {
        let of_player = OF_PLAYER.iter().filter(|_| self != Self::Result);
        let names: Vec<&str> = self.own_facts().iter().chain(of_player).map(|(name, _)| *name).collect();
        let stats = if self == Self::Result { ", stat.<figure>" } else { "" };
        format!("{}{stats}", names.join(", "))
    }
}

/// What is tested of a fact; every part that is there must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Test {
    /// Which.
    pub fact: String,
    /// Of a number: it is not below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<i64>,
    /// Of a number: it is not above this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<i64>,
    /// Of a text: it is one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// Of a text: it is none of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub none_of: Vec<String>,
    /// Of a text: one of these is in it, whatever the case and whatever stands between letters and digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// Of yes or no: it is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<bool>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, in answers, logs and metrics.
    pub id: String,
    /// What it may refuse.
    pub act: Act,
    /// When it does: all of them hold.
    pub when: Vec<Test>,
    /// For the client's program.
    pub code: String,
    /// For the player.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Rule {
    /// What is wrong with it.
    ///
    /// # Errors
    /// The first fault, with what to write.
    pub fn check(&self) -> Result<(), String> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        for (what, text) in [("an id", &self.id), ("a code", &self.code)] {
            if !(1..=CODE_BYTES_MAX).contains(&text.len()) || !text.bytes().all(good) {
                return Err(format!("{what} has 1 to {CODE_BYTES_MAX} of a-z, 0-9 and -"));
            }
        }
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(format!("a message has at most {MESSAGE_BYTES_MAX} bytes"));
        }
        if self.when.is_empty() || self.when.len() > TESTS_MAX {
            return Err(format!("when has 1 to {TESTS_MAX} tests; without one it would refuse everything"));
        }
        self.when.iter().try_for_each(|test| test.check(self.act))
    }

    /// Whether it looks at the player, and not at the act alone.
    pub fn asks_of_player(&self) -> bool {
        self.when.iter().any(|test| OF_PLAYER.iter().any(|(name, _)| *name == test.fact))
    }

    /// Whether it refuses this.
    pub fn refuses(&self, act: Act, facts: &Facts) -> bool {
        self.act == act && self.when.iter().all(|test| test.holds(facts))
    }
}

impl Test {
    fn check(&self, act: Act) -> Result<(), String> {
        let fact = &self.fact;
        let Some(kind) = act.fact(fact) else {
            return Err(format!("of a {} there is no {fact:?}; there are {}", act.name(), act.fact_names()));
        };
        let is_number = self.at_least.is_some() || self.at_most.is_some();
        let is_text = [&self.one_of, &self.none_of, &self.contains].iter().any(|list| !list.is_empty());
        let is_flag = self.is.is_some();
        let wanted = match kind {
            FactKind::Number => (true, false, false, "at_least, at_most"),
            FactKind::Text => (false, true, false, "one_of, none_of, contains"),
            FactKind::Flag => (false, false, true, "is"),
        };
        if (is_number, is_text, is_flag) != (wanted.0, wanted.1, wanted.2) {
            return Err(format!("{fact} is tested by {}, and by nothing else", wanted.3));
        }
        if let (Some(least), Some(most)) = (self.at_least, self.at_most)
            && least > most
        {
            return Err(format!("{fact}: at_least {least} is above at_most {most}"));
        }
        let lists = [&self.one_of, &self.none_of, &self.contains];
        let is_bad = |text: &String| text.is_empty() || text.len() > TEXT_BYTES_MAX;
        if lists.iter().any(|list| list.len() > TEXTS_MAX || list.iter().any(is_bad)) {
            return Err(format!("{fact}: a list has at most {TEXTS_MAX} texts of 1 to {TEXT_BYTES_MAX} bytes"));
        }
        if self.contains.iter().any(|text| folded(text).is_empty()) {
            return Err(format!("{fact}: each text of contains has a letter or a digit; others are in every text"));
        }
        Ok(())
    }

    fn holds(&self, facts: &Facts) -> bool {
        match facts.get(&self.fact) {
            None => false,
            Some(Fact::Number(number)) => {
                self.at_least.is_none_or(|least| *number >= least) && self.at_most.is_none_or(|most| *number <= most)
            }
            Some(Fact::Flag(flag)) => self.is == Some(*flag),
            Some(Fact::Text(text)) => {
                (self.one_of.is_empty() || self.one_of.contains(text))
                    && !self.none_of.contains(text)
                    && (self.contains.is_empty() || self.is_in(&folded(text)))
            }
        }
    }

    fn is_in(&self, text: &str) -> bool {
        self.contains.iter().any(|part| text.contains(&folded(part)))
    }
}

/// A text without what is put between letters to hide a word: small letters and digits.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

/// The first rule that refuses this.
pub fn refusal<'r>(rules: &'r [Rule], act: Act, facts: &Facts) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.refuses(act, facts))
}

/// Facts that say of what kind they are, as somebody wrote them down.
///
/// # Errors
/// The first that this act does not have, or that is something else there.
pub fn check_facts(act: Act, facts: &Facts) -> Result<(), String> {
    for (name, fact) in facts {
        let Some(kind) = act.fact(name) else {
            return Err(format!("of a {} there is no {name:?}; there are {}", act.name(), act.fact_names()));
        };
        let fits = matches!(
            (kind, fact),
            (FactKind::Number, Fact::Number(_)) | (FactKind::Text, Fact::Text(_)) | (FactKind::Flag, Fact::Flag(_))
        );
        if !fits {
            return Err(format!("{name} is a {}", format!("{kind:?}").to_lowercase()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        toml::from_str(text).expect("a rule")
    }

    fn facts(facts: &[(&str, Fact)]) -> Facts {
        facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect()
    }

    const SKINS: &str = r#"
        id = "skins-from-5"
        act = "purchase"
        when = [{ fact = "offer", one_of = ["skin-gold"] }, { fact = "level", at_most = 4 }]
        code = "level-too-low"
    "#;

    #[test]
    fn a_rule_refuses_where_all_of_its_tests_hold() {
        let rule = rule(SKINS);
        rule.check().expect("a good rule");
        assert!(rule.asks_of_player());
        let of = |offer: &str, level| facts(&[("offer", Fact::Text(offer.into())), ("level", Fact::Number(level))]);
        assert!(rule.refuses(Act::Purchase, &of("skin-gold", 4)));
        assert!(!rule.refuses(Act::Purchase, &of("skin-gold", 5)));
        assert!(!rule.refuses(Act::Purchase, &of("other", 1)));
        assert!(!rule.refuses(Act::Gift, &of("skin-gold", 1)), "it is about another act");
        let unknown = facts(&[("offer", Fact::Text("skin-gold".into()))]);
        assert!(!rule.refuses(Act::Purchase, &unknown), "what is not known refuses nothing");
    }

    #[test]
    fn a_word_is_found_whatever_stands_between_its_letters() {
        let rule = rule(
            r#"
            id = "no-admins"
            act = "name"
            when = [{ fact = "name", contains = ["Admin", "жанна"] }]
            code = "reserved"
        "#,
        );
        rule.check().expect("a good rule");
        let refuses = |name: &str| rule.refuses(Act::Name, &facts(&[("name", Fact::Text(name.into()))]));
        for name in ["admin", "xX_A.d-M i n_Xx", "ЖАННА 7"] {
            assert!(refuses(name), "{name}");
        }
        assert!(!refuses("Ada") && !refuses("adm1n"));
    }

    #[test]
    fn results_are_tested_by_the_figures_of_the_game() {
        let rule = rule(
            r#"
            id = "too-many-kills"
            act = "result"
            when = [{ fact = "stat.kills", at_least = 500 }, { fact = "queue", none_of = ["horde"] }]
            code = "impossible"
        "#,
        );
        rule.check().expect("a good rule");
        let of = |kills| facts(&[("stat.kills", Fact::Number(kills)), ("queue", Fact::Text("duel".into()))]);
        assert!(rule.refuses(Act::Result, &of(500)) && !rule.refuses(Act::Result, &of(499)));
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused_and_says_what_there_is() {
        let fault = |from: &str, to: &str| {
            assert!(SKINS.contains(from), "{from}");
            rule(&SKINS.replace(from, to)).check().expect_err(to)
        };
        assert!(fault("\"offer\"", "\"price\"").contains("offer, quantity, currency, for_money, level"));
        assert!(fault("at_most = 4", "one_of = [\"a\"]").contains("at_least, at_most"));
        assert!(fault(", at_most = 4", "").contains("at_least, at_most"));
        assert!(fault("at_most = 4", "at_most = 4, at_least = 5").contains("above"));
        assert!(fault("one_of = [\"skin-gold\"]", "contains = [\"--\"]").contains("letter"));
        assert!(fault("level-too-low", "Too Low").contains("a code"));
        assert!(fault("skins-from-5", "").contains("an id"));
        let mut empty = rule(SKINS);
        empty.when.clear();
        assert!(empty.check().expect_err("no tests").contains("everything"));
        let mut result = rule(SKINS);
        result.act = Act::Result;
        assert!(result.check().expect_err("other facts").contains("stat.<figure>"));
    }

    #[test]
    fn facts_are_those_of_the_act() {
        let good = facts(&[("name", Fact::Text("Ada".into())), ("level", Fact::Number(1))]);
        assert_eq!(check_facts(Act::Name, &good), Ok(()));
        assert!(check_facts(Act::Result, &good).is_err());
        assert!(check_facts(Act::Name, &facts(&[("name", Fact::Number(1))])).is_err());
    }
}
