//! Events, settings and rules as one document, in versions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::config::Setting;
use super::event::{Event, EventForm};
use super::rule::Rule;

/// Most events, and most settings.
const EVENTS_MAX: usize = 256;
const SETTINGS_MAX: usize = 512;
/// Most rules: all of an act are looked at whenever it happens.
const RULES_MAX: usize = 256;
/// Largest document as JSON.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1_024;

/// The document as it is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentForm {
    /// The events.
    #[serde(alias = "event")]
    pub events: Vec<EventForm>,
    /// The settings of the game.
    #[serde(alias = "setting")]
    pub settings: Vec<Setting>,
    /// The studio's own rules. Not written where there are none: documents from before they were possible stay the same.
    #[serde(alias = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// A document that can be used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// The events.
    pub events: Vec<Event>,
    /// The settings of the game, in order of their keys.
    pub settings: Vec<Setting>,
    /// The studio's own rules; the first that refuses decides.
    pub rules: Vec<Rule>,
}

/// A document that cannot be used: one sentence for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the events and settings cannot be used:\n  {}", .0.join("\n  "))]
pub struct DocumentFault(pub Vec<String>);

impl DocumentForm {
    /// The document, if it can be used.
    ///
    /// # Errors
    /// [`DocumentFault`] with every fault there is, each saying what to write.
    pub fn read(&self) -> Result<Document, DocumentFault> {
        let (mut faults, mut events) = (Vec::new(), Vec::new());
        if self.events.len() > EVENTS_MAX || self.settings.len() > SETTINGS_MAX {
            faults.push(format!("at most {EVENTS_MAX} events and {SETTINGS_MAX} settings are possible"));
        }
        if serde_json::to_string(self).map_or(usize::MAX, |text| text.len()) > DOCUMENT_BYTES_MAX {
            faults.push(format!("as JSON it has more than {DOCUMENT_BYTES_MAX} bytes"));
        }
        if self.rules.len() > RULES_MAX {
            faults.push(format!("at most {RULES_MAX} rules are possible"));
        }
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for form in &self.events {
            let mut fault = |what: String| faults.push(format!("event {:?}: {what}", form.id));
            if !ids.insert(&form.id) {
                fault("there are two of this id".to_owned());
            }
            match Event::read(form.clone()) {
                Ok(event) => events.push(event),
                Err(what) => fault(what),
            }
        }
        for setting in &self.settings {
            let mut fault = |what: String| faults.push(format!("setting {:?}: {what}", setting.key));
            if !keys.insert(&setting.key) {
                fault("there are two of this key".to_owned());
            }
            if let Err(what) = setting.check() {
                fault(what);
            }
        }
        faults.extend(faults_of_rules(&self.rules));
        let mut settings = self.settings.clone();
        settings.sort_by(|a, b| a.key.cmp(&b.key));
        let rules = self.rules.clone();
        if faults.is_empty() { Ok(Document { events, settings, rules }) } else { Err(DocumentFault(faults)) }
    }
}

fn faults_of_rules(rules: &[Rule]) -> Vec<String> {
    let (mut faults, mut ids) = (Vec::new(), BTreeSet::new());
    for rule in rules {
        let mut fault = |what: String| faults.push(format!("rule {:?}: {what}", rule.id));
        if !ids.insert(&rule.id) {
            fault("there are two of this id".to_owned());
        }
        if let Err(what) = rule.check() {
            fault(what);
        }
    }
    faults
}

/// A file of events and settings (TOML), with the number that it raises with every change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveFile {
    /// From 1.
    pub version: u64,
    /// What it says.
    pub form: DocumentForm,
}

impl LiveFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`DocumentFault`].
    pub fn parse(text: &str) -> Result<Self, DocumentFault> {
        let fault = |what: String| DocumentFault(vec![what]);
        let mut table: toml::Table = toml::from_str(text).map_err(|error| fault(error.to_string()))?;
        let version = table.remove("version").and_then(|version| version.as_integer());
        let version = version.and_then(|version| u64::try_from(version).ok()).filter(|version| *version > 0);
        let version = version.ok_or_else(|| {
            fault(
                "it needs `version = 1` in its first line, raised with every change: the newest version holds"
                    .to_owned(),
            )
        })?;
        let form: DocumentForm = table.try_into().map_err(|error: toml::de::Error| fault(error.to_string()))?;
        form.read()?;
        Ok(Self { version, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        version = 3

        [[event]]
        id = "weekend"
        kind = "double_xp"
        titles = { en = "Double XP" }
        starts_at = "2026-11-01T00:00:00Z"
        recurs = { every = "week", weekday = 5, at = "18:00", minutes = 3240 }
        when = { level_from = 3 }
        data = { factor = 2 }

        [[setting]]
        key = "hud.new"
        value = false
        rules = [{ when = { platforms = ["pc"], percent = 12.5 }, value = true }]

        [[setting]]
        key = "gravity"
        value = 9.81
    "#;

    #[test]
    fn a_file_is_read_and_is_the_same_as_json() {
        let file = LiveFile::parse(FILE).expect("a good file");
        let document = file.form.read().expect("a good document");
        assert_eq!((file.version, document.events.len(), document.settings[0].key.as_str()), (3, 1, "gravity"));
        let text = serde_json::to_string(&file.form).expect("plain data");
        assert_eq!(serde_json::from_str::<DocumentForm>(&text).expect("JSON"), file.form);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let text = FILE.replace("every = \"week\"", "every = \"day\"").replace("value = true", "value = 1")
            + "[[setting]]\nkey = \"gravity\"\nvalue = 1\n";
        let told = LiveFile::parse(&text).expect_err("faults").to_string();
        for part in ["weekday", "hud.new", "rule 1", "two of this key"] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        let rules = "version = 1\n[[rule]]\nid = \"a\"\nact = \"name\"\ncode = \"x\"\nwhen = [{ fact = \"level\", at_most = 1 }]\n\
                     [[rule]]\nid = \"a\"\nact = \"name\"\ncode = \"x\"\nwhen = []\n";
        let told = LiveFile::parse(rules).expect_err("faults").to_string();
        assert!(told.contains("two of this id") && told.contains("refuse everything"), "{told}");
        let bare = serde_json::to_string(&DocumentForm::default()).expect("plain data");
        assert!(!bare.contains("rules"), "a document without rules is what it was before there were any: {bare}");
        assert!(LiveFile::parse("").expect_err("no version").to_string().contains("version = 1"));
        assert!(LiveFile::parse("version = 1\nunknown = 2").is_err());
    }
}
