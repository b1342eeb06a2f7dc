//! What a studio expects to be reported: a file, `muster metagame --telemetry FILE`, TOML.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::report::{FIELDS_MAX, Source, is_plain};

/// Most events of a plan.
const EVENTS_MAX: usize = 1_024;
/// Most values of a list.
const VALUES_MAX: usize = 256;
/// How long reports are kept where the file does not say, and at most, in days.
const DAYS_DEFAULT: u64 = 30;
const DAYS_MAX: u64 = 3_650;
/// How much of a day is kept where the file does not say: 1 GiB. In one file with the game's own data it must not fill the disk.
const DAY_BYTES_DEFAULT: u64 = 1 << 30;
/// Least bound of a day: one that keeps nothing is a mistake.
const DAY_BYTES_MIN: u64 = 1 << 20;

/// What a field of a report holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A measurement: a number below 10^15.
    Number,
    /// True or false.
    Flag,
    /// One of these texts.
    OneOf(BTreeSet<String>),
    /// A short text of which the studio says that it names nobody: a map, a build.
    Public,
    /// Any text; sealed.
    Text,
    /// A player's id; kept as a pseudonym.
    Player,
}

/// A report that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Whose reports are taken; empty: everybody's.
    pub from: BTreeSet<Source>,
    /// Its fields; others are refused, and each may be absent.
    pub fields: BTreeMap<String, Field>,
}

/// What is expected, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Days for which reports are kept, besides the present one.
    pub days: u64,
    /// Bytes of one day; what comes when they are used up is lost.
    pub day_bytes_max: u64,
    /// By name; `None`: whatever comes.
    pub kinds: Option<BTreeMap<String, Kind>>,
}

impl Default for Plan {
    /// Whatever comes, for 30 days.
    fn default() -> Self {
        Self { days: DAYS_DEFAULT, day_bytes_max: DAY_BYTES_DEFAULT, kinds: None }
    }
}

/// A plan that cannot be used: one sentence for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan of telemetry cannot be used:\n  {}", .0.join("\n  "))]
pub struct PlanFault(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default = "days")]
    days: u64,
    #[serde(default = "day_bytes")]
    day_bytes_max: u64,
    #[serde(default)]
    event: Vec<EventForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventForm {
    name: String,
    #[serde(default)]
    from: BTreeSet<Source>,
    #[serde(default)]
    fields: BTreeMap<String, FieldForm>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FieldForm {
    Word(String),
    List(Vec<String>),
}

fn days() -> u64 {
    DAYS_DEFAULT
}

fn day_bytes() -> u64 {
    DAY_BYTES_DEFAULT
}

impl Plan {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`PlanFault`] with every fault there is, each saying what to write.
    pub fn parse(text: &str) -> Result<Self, PlanFault> {
        let file: FileForm = toml::from_str(text).map_err(|error| PlanFault(vec![error.to_string()]))?;
        let (mut faults, mut kinds) = (Vec::new(), BTreeMap::new());
        if !(1..=DAYS_MAX).contains(&file.days) {
            faults.push(format!("days is 1 to {DAYS_MAX}, not {}", file.days));
        }
        if file.day_bytes_max < DAY_BYTES_MIN {
            faults.push(format!("day_bytes_max is at least {DAY_BYTES_MIN}, not {}", file.day_bytes_max));
        }
        if file.event.len() > EVENTS_MAX {
            faults.push(format!("{} events are more than {EVENTS_MAX}", file.event.len()));
        }
        for form in file.event {
            let mut fault = |what: String| faults.push(format!("event {:?}: {what}", form.name));
            if !is_plain(&form.name) {
                fault("a name has 1 to 64 letters, digits, '-', '_' or '.'".to_owned());
            }
            if form.fields.len() > FIELDS_MAX {
                fault(format!("it has more than {FIELDS_MAX} fields"));
            }
            let mut fields = BTreeMap::new();
            for (name, of) in form.fields {
                match field(&name, of) {
                    Ok(field) => drop(fields.insert(name, field)),
                    Err(what) => fault(what),
                }
            }
            if kinds.contains_key(&form.name) {
                fault("it is there twice: keep one of them".to_owned());
            }
            kinds.insert(form.name, Kind { from: form.from, fields });
        }
        let kinds = (!kinds.is_empty()).then_some(kinds);
        let plan = Self { days: file.days, day_bytes_max: file.day_bytes_max, kinds };
        if faults.is_empty() { Ok(plan) } else { Err(PlanFault(faults)) }
    }
}

fn field(name: &str, form: FieldForm) -> Result<Field, String> {
    if !is_plain(name) {
        return Err(format!("the field {name:?}: a name has 1 to 64 letters, digits, '-', '_' or '.'"));
    }
    let values = match form {
        FieldForm::Word(word) => {
            return match word.as_str() {
                "number" => Ok(Field::Number),
                "flag" => Ok(Field::Flag),
                "public" => Ok(Field::Public),
                "text" => Ok(Field::Text),
                "player" => Ok(Field::Player),
                _ => Err(format!(
                    "the field {name}: {word:?} is nothing that a field holds; write \"number\", \"flag\", \"public\", \
                     \"text\", \"player\", or a list of texts"
                )),
            };
        }
        FieldForm::List(values) => values,
    };
    let is_good = |value: &String| (1..=64).contains(&value.len());
    if values.is_empty() || values.len() > VALUES_MAX || !values.iter().all(is_good) {
        return Err(format!("the field {name}: a list has 1 to {VALUES_MAX} texts of 1 to 64 bytes"));
    }
    Ok(Field::OneOf(values.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read() {
        let text = r#"
            days = 7
            [[event]]
            name = "match.kill"
            from = ["server"]
            fields = { weapon = ["rifle", "pistol"], distance = "number", victim = "player", head = "flag" }
            [[event]]
            name = "feedback"
            fields = { words = "text", map = "public" }
        "#;
        let plan = Plan::parse(text).expect("a good plan");
        let kinds = plan.kinds.expect("events");
        assert_eq!((plan.days, plan.day_bytes_max, kinds.len()), (7, 1 << 30, 2));
        let kill = &kinds["match.kill"];
        assert_eq!((kill.from.len(), &kill.fields["victim"]), (1, &Field::Player));
        assert!(matches!(&kill.fields["weapon"], Field::OneOf(values) if values.len() == 2));
        assert_eq!(Plan::parse("").expect("nothing is needed"), Plan::default());
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let text = r#"
            days = 0
            day_bytes_max = 10
            [[event]]
            name = "no spaces"
            fields = { a = "string", b = [], "c d" = "flag" }
            [[event]]
            name = "twice"
            [[event]]
            name = "twice"
        "#;
        let told = Plan::parse(text).expect_err("faults").to_string();
        for part in ["days", "day_bytes_max", "no spaces", "\"string\"", "field b", "c d", "there twice"] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert!(Plan::parse("[[event]]\nname = \"a\"\nfrom = [\"nobody\"]").is_err());
    }
}
