//! The file of collections: `muster metagame --collections FILE`, TOML.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Collection, CollectionName, Collections, Quota, Readers, VALUE_BYTES_MAX, Writers};

/// Largest quotas that can be set: what a `PUT` more or less does not change.
const BYTES_MAX: u64 = 1 << 40;
/// Bytes of a value where the file does not say.
const VALUE_BYTES_DEFAULT: u64 = 16 * 1024;

/// A file of collections that cannot be used: one sentence for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the collections cannot be used:\n  {}", .0.join("\n  "))]
pub struct CollectionsFault(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    quota: QuotaForm,
    #[serde(default)]
    collection: Vec<CollectionForm>,
    others: Option<RulesForm>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct QuotaForm {
    bytes: Option<u64>,
    values: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CollectionForm {
    id: String,
    #[serde(default)]
    read: Readers,
    #[serde(default)]
    write: Writers,
    value_bytes_max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesForm {
    #[serde(default)]
    read: Readers,
    #[serde(default)]
    write: Writers,
    value_bytes_max: Option<u64>,
}

impl Collections {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`CollectionsFault`] with every fault there is, each saying what to write.
    pub fn parse(text: &str) -> Result<Self, CollectionsFault> {
        let file: FileForm = toml::from_str(text).map_err(|error| CollectionsFault(vec![error.to_string()]))?;
        let mut faults = Vec::new();
        let mut named = BTreeMap::new();
        for form in file.collection {
            if let Err(fault) = form.id.parse::<CollectionName>() {
                faults.push(format!("collection {:?}: {fault}", form.id));
            }
            let rules = rules(&format!("collection {:?}", form.id), form.read, form.write, form.value_bytes_max);
            if let Some(rules) = rules.map_err(|fault| faults.push(fault)).ok()
                && named.insert(form.id.clone(), rules).is_some()
            {
                faults.push(format!("collection {:?} is there twice: keep one of them", form.id));
            }
        }
        let others = file.others.map(|form| rules("others", form.read, form.write, form.value_bytes_max)).transpose();
        let others = others.map_err(|fault| faults.push(fault)).unwrap_or_default();
        if named.is_empty() && others.is_none() && faults.is_empty() {
            faults.push("it names no collection: write a [[collection]] for each, or [others] for any name".to_owned());
        }
        let default = Quota::default();
        let quota = Quota {
            bytes: file.quota.bytes.unwrap_or(default.bytes),
            count: file.quota.values.unwrap_or(default.count),
        };
        if !(1..=BYTES_MAX).contains(&quota.bytes) || !(1..=BYTES_MAX).contains(&quota.count) {
            faults.push(format!("quota: bytes and values are 1 to {BYTES_MAX}"));
        }
        if faults.is_empty() { Ok(Self { named, others, quota }) } else { Err(CollectionsFault(faults)) }
    }
}

fn rules(subject: &str, read: Readers, write: Writers, bytes_max: Option<u64>) -> Result<Collection, String> {
    let value_bytes_max = bytes_max.unwrap_or(VALUE_BYTES_DEFAULT);
    if !(1..=VALUE_BYTES_MAX).contains(&value_bytes_max) {
        return Err(format!("{subject}: value_bytes_max is 1 to {VALUE_BYTES_MAX}"));
    }
    Ok(Collection { read, write, value_bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read() {
        let text = r#"
            [quota]
            bytes = 5000
            [[collection]]
            id = "card"
            read = "public"
            [[collection]]
            id = "anti-cheat"
            write = "server"
            value_bytes_max = 100
        "#;
        let collections = Collections::parse(text).expect("a good file");
        assert_eq!((collections.quota.bytes, collections.quota.count), (5_000, 1_000));
        let card = collections.find("card").expect("named");
        assert_eq!((card.read, card.write, card.value_bytes_max), (Readers::Public, Writers::Owner, 16 * 1024));
        assert_eq!(collections.find("anti-cheat").map(|one| one.write), Some(Writers::Server));
        assert_eq!(collections.find("other"), None);
        let any = Collections::parse("[others]\nread = \"public\"").expect("a good file");
        assert_eq!(any.find("whatever").map(|one| one.read), Some(Readers::Public));
    }

    #[test]
    fn faults_are_told_all_at_once() {
        let text = r#"
            quota = { bytes = 0 }
            collection = [{ id = "a b" }, { id = "x" }, { id = "x" }, { id = "y", value_bytes_max = 100000 }]
            others = { value_bytes_max = 0 }
        "#;
        let CollectionsFault(faults) = Collections::parse(text).expect_err("all wrong");
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert_eq!(Collections::parse("").expect_err("no collection").0.len(), 1);
        assert!(Collections::parse("[[collections]]\nid = \"a\"").is_err(), "unknown words are mistakes");
    }
}
