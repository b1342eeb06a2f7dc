//! A report: whether it is one, and which parts of it are kept in the open, sealed, or under a pseudonym.

use protocol::id::PlayerId;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::plan::{Field, Plan};

/// Most reports of a batch.
pub const REPORTS_MAX: usize = 100;
/// Most fields of a report.
pub const FIELDS_MAX: usize = 32;
/// Largest body of a report as JSON, in bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1_024;
/// Longest name of a report or a field, and longest text that is kept in the open, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Numbers from here are not measurements: ids of accounts elsewhere have as many digits.
const NUMBER_MAX: f64 = 1e15;
/// How far from now a report's time may be, in milliseconds: beyond, a clock is wrong, and now is the better guess.
const CLOCK_MS: u64 = 48 * 60 * 60 * 1_000;

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A player's client.
    Client,
    /// One of the studio's servers.
    Server,
}

impl Source {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// A report as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Made by whoever reports.
    pub event_id: [u8; 16],
    /// What happened.
    pub name: String,
    /// Which version of that, from 1.
    pub version: u32,
    /// When; Unix milliseconds by the reporter's clock.
    pub at_ms: Option<u64>,
    /// Whom it is about.
    pub player: Option<PlayerId>,
    /// The game's own.
    pub body: Map<String, Value>,
}

/// A report that is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Made by whoever reports.
    pub event_id: [u8; 16],
    /// What happened.
    pub name: String,
    /// Which version of that.
    pub version: u32,
    /// When; Unix milliseconds, as far as the reporter's clock can be believed.
    pub at_ms: u64,
    /// When it came; Unix milliseconds.
    pub received_at_ms: u64,
    /// Who reports.
    pub source: Source,
    /// Whom it is about.
    pub player: Option<PlayerId>,
    /// What everybody may read.
    pub open: Map<String, Value>,
    /// What is sealed under the player's key.
    pub sealed: Map<String, Value>,
    /// Fields that name a player.
    pub players: Vec<(String, PlayerId)>,
    /// About how much memory it takes, in bytes.
    pub bytes: usize,
}

/// Why a report is none. What it says is not repeated: it may be personal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name.
    #[error("a name has 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'")]
    Name,
    /// The version.
    #[error("a version is 1 or more")]
    Version,
    /// The plan does not know it.
    #[error("the plan of this game has no such event")]
    Unknown,
    /// The plan takes it from others.
    #[error("the plan of this game does not take this event from a {}", .0.name())]
    Source(Source),
    /// Too many fields.
    #[error("a body has at most {FIELDS_MAX} fields")]
    Fields,
    /// Too long.
    #[error("a body has at most {BODY_BYTES_MAX} bytes")]
    Long,
    /// The name of a field.
    #[error("a field's name has 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'")]
    FieldName,
    /// The plan does not know this field.
    #[error("the plan of this game has no field {0} in this event")]
    UnknownField(String),
    /// A field holds something else than the plan says.
    #[error("the field {0} is {1}")]
    Field(String, &'static str),
    /// A text, and nobody under whose key it could be sealed.
    #[error(
        "the field {0} is text, and the report is about nobody: name its player, or have the plan list the values of the field"
    )]
    Nobody(String),
}

/// Where a value goes.
enum Place {
    Open(Value),
    Sealed(Value),
    Player(PlayerId),
}

/// Takes a report, or says why not.
///
/// # Errors
/// [`Fault`].
pub fn take(plan: &Plan, source: Source, given: Given, received_at_ms: u64) -> Result<Report, Fault> {
    let Given { event_id, name, version, at_ms, player, body } = given;
    if !is_plain(&name) {
        return Err(Fault::Name);
    }
    if version == 0 {
        return Err(Fault::Version);
    }
    let kind = match &plan.kinds {
        Some(kinds) => Some(kinds.get(&name).ok_or(Fault::Unknown)?),
        None => None,
    };
    if kind.is_some_and(|kind| !kind.from.is_empty() && !kind.from.contains(&source)) {
        return Err(Fault::Source(source));
    }
    if body.len() > FIELDS_MAX {
        return Err(Fault::Fields);
    }
    let length = serde_json::to_string(&body).map_or(usize::MAX, |text| text.len());
    if length > BODY_BYTES_MAX {
        return Err(Fault::Long);
    }
    let (mut open, mut sealed, mut players) = (Map::new(), Map::new(), Vec::new());
    for (field, value) in body {
        if !is_plain(&field) {
            return Err(Fault::FieldName);
        }
        let wanted = match kind {
            Some(kind) => Some(kind.fields.get(&field).ok_or_else(|| Fault::UnknownField(field.clone()))?),
            None => None,
        };
        match place(wanted, value).map_err(|what| Fault::Field(field.clone(), what))? {
            None => {}
            Some(Place::Open(value)) => drop(open.insert(field, value)),
            Some(Place::Sealed(_)) if player.is_none() => return Err(Fault::Nobody(field)),
            Some(Place::Sealed(value)) => drop(sealed.insert(field, value)),
            Some(Place::Player(id)) => players.push((field, id)),
        }
    }
    let at_ms = happened_at(at_ms.unwrap_or(received_at_ms), received_at_ms);
    let bytes = size_of::<Report>() + name.len() + 2 * length;
    Ok(Report { event_id, name, version, at_ms, received_at_ms, source, player, open, sealed, players, bytes })
}

/// Where a value goes; without a plan everything that could name somebody is sealed.
fn place(wanted: Option<&Field>, value: Value) -> Result<Option<Place>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    let is_number = value.as_f64().is_some_and(|number| number.abs() < NUMBER_MAX);
    let text = value.as_str();
    let place = match wanted {
        None if value.is_boolean() || is_number => Place::Open(value),
        None => Place::Sealed(value),
        Some(Field::Number) if is_number => Place::Open(value),
        Some(Field::Number) => return Err("no number of at most 15 digits"),
        Some(Field::Flag) if value.is_boolean() => Place::Open(value),
        Some(Field::Flag) => return Err("neither true nor false"),
        Some(Field::OneOf(values)) if text.is_some_and(|text| values.contains(text)) => Place::Open(value),
        Some(Field::OneOf(_)) => return Err("none of the texts that the plan lists"),
        Some(Field::Public) if text.is_some_and(is_plain) => Place::Open(value),
        Some(Field::Public) => return Err("no text of 1 to 64 letters, digits, '-', '_' or '.'"),
        Some(Field::Text) if text.is_some() => Place::Sealed(value),
        Some(Field::Text) => return Err("no text"),
        Some(Field::Player) => Place::Player(text.and_then(|text| text.parse().ok()).ok_or("no id of a player")?),
    };
    Ok(Some(place))
}

/// Whether a text is a name of reports and fields.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// When something happened, as far as its reporter's clock can be believed.
fn happened_at(said_ms: u64, now_ms: u64) -> u64 {
    if said_ms.abs_diff(now_ms) > CLOCK_MS { now_ms } else { said_ms }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW_MS: u64 = 1_795_305_600_000;

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    fn given(name: &str, body: Value) -> Given {
        let Value::Object(body) = body else { panic!("{body} is no object") };
        Given { event_id: [1; 16], name: name.into(), version: 1, at_ms: None, player: Some(player(1)), body }
    }

    fn plan() -> Plan {
        let text = r#"
            [[event]]
            name = "kill"
            from = ["server"]
            fields = { weapon = ["rifle"], distance = "number", head = "flag", victim = "player", words = "text", map = "public" }
        "#;
        Plan::parse(text).expect("a good plan")
    }

    #[test]
    fn without_a_plan_figures_are_open_and_texts_are_sealed() {
        let body =
            json!({ "n": 1.5, "on": true, "who": "Ada", "list": [1], "steam": 76_561_197_960_287_930_u64, "no": null });
        let report = take(&Plan::default(), Source::Client, given("menu.click", body), NOW_MS).expect("a report");
        assert_eq!(Value::Object(report.open), json!({ "n": 1.5, "on": true }));
        let sealed = json!({ "who": "Ada", "list": [1], "steam": 76_561_197_960_287_930_u64 });
        assert_eq!(Value::Object(report.sealed), sealed);
    }

    #[test]
    fn a_report_about_nobody_has_no_free_text() {
        let nobody = |body| Given { player: None, ..given("tick", body) };
        assert!(take(&Plan::default(), Source::Server, nobody(json!({ "ms": 3 })), NOW_MS).is_ok());
        let fault = take(&Plan::default(), Source::Server, nobody(json!({ "who": "Ada" })), NOW_MS);
        assert_eq!(fault, Err(Fault::Nobody("who".into())));
    }

    #[test]
    fn a_plan_says_what_each_field_holds() {
        let body = json!({ "weapon": "rifle", "distance": 12, "head": false, "victim": player(2), "words": "gg Ada",
                           "map": "dust-2" });
        let report = take(&plan(), Source::Server, given("kill", body), NOW_MS).expect("a report");
        let open = json!({ "weapon": "rifle", "distance": 12, "head": false, "map": "dust-2" });
        assert_eq!(Value::Object(report.open), open);
        assert_eq!(Value::Object(report.sealed), json!({ "words": "gg Ada" }));
        assert_eq!(report.players, [("victim".to_owned(), player(2))]);
        let rows = [
            (json!({ "weapon": "Ada" }), "weapon"),
            (json!({ "distance": "far" }), "distance"),
            (json!({ "distance": 1e15 }), "distance"),
            (json!({ "head": 1 }), "head"),
            (json!({ "victim": "Bob" }), "victim"),
            (json!({ "words": { "a": 1 } }), "words"),
            (json!({ "map": "Ada's home" }), "map"),
        ];
        for (body, field) in rows {
            let fault = take(&plan(), Source::Server, given("kill", body), NOW_MS).expect_err("a fault");
            assert!(matches!(&fault, Fault::Field(named, _) if named == field), "{fault:?}");
            assert!(!fault.to_string().contains("Ada"), "{fault}");
        }
        let fault = |source, given| take(&plan(), source, given, NOW_MS).expect_err("a fault");
        assert_eq!(fault(Source::Server, given("other", json!({}))), Fault::Unknown);
        assert_eq!(fault(Source::Client, given("kill", json!({}))), Fault::Source(Source::Client));
        let more = given("kill", json!({ "more": 1 }));
        assert_eq!(fault(Source::Server, more), Fault::UnknownField("more".into()));
    }

    #[test]
    fn a_report_has_a_name_a_version_and_bounds() {
        let fault = |given| take(&Plan::default(), Source::Client, given, NOW_MS).expect_err("a fault");
        for bad in ["", "no spaces", "ä", &"x".repeat(65)] {
            assert_eq!(fault(given(bad, json!({}))), Fault::Name);
        }
        assert_eq!(fault(Given { version: 0, ..given("a", json!({})) }), Fault::Version);
        assert_eq!(fault(given("a", json!({ "x": "y".repeat(BODY_BYTES_MAX) }))), Fault::Long);
        assert_eq!(fault(given("a", json!({ "ada@example.org": 1 }))), Fault::FieldName);
        let many: Map<String, Value> = (0..33).map(|n| (format!("f{n}"), n.into())).collect();
        assert_eq!(fault(given("a", Value::Object(many))), Fault::Fields);
    }

    #[test]
    fn a_clock_that_is_days_off_is_not_believed() {
        let at = |said| {
            let given = Given { at_ms: Some(said), ..given("a", json!({})) };
            take(&Plan::default(), Source::Client, given, NOW_MS).expect("a report").at_ms
        };
        assert_eq!((at(NOW_MS - 1_000), at(0), at(u64::MAX)), (NOW_MS - 1_000, NOW_MS, NOW_MS));
    }

    proptest! {
        /// However a body is made, no text of it is in the open without a plan.
        #[test]
        fn no_text_is_in_the_open_without_a_plan(texts in prop::collection::vec("[A-Za-z@. ]{0,20}", 0..8), nested: bool) {
            let body: Map<String, Value> = texts.iter().enumerate().map(|(n, text)| {
                let value = if nested { json!({ "a": [text] }) } else { json!(text) };
                (format!("f{n}"), value)
            }).collect();
            let count = body.len();
            let report = take(&Plan::default(), Source::Client, given("a", Value::Object(body)), NOW_MS).expect("a report");
            prop_assert!(report.open.is_empty());
            prop_assert_eq!(report.sealed.len(), count);
        }
    }
}
