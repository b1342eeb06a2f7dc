//! Reads queues from TOML. Every fault is named with its line and queue, so that one edit mends the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::queue_config::{
    Fault, PLAYERS_MAX, QUEUES_MAX, QueueConfig, REGIONS_MAX, RatingRule, RttRule, SETTINGS_BYTES_MAX, Source,
    is_build, is_name,
};

/// The keys of a `[[queue]]`.
const QUEUE_KEYS: [&str; 15] = [
    "name",
    "teams",
    "players_per_team",
    "fleet",
    "build",
    "regions",
    "settings",
    "rating",
    "rtt_ms_max",
    "rtt_ms_growth_per_s",
    "rtt_ms_ceiling",
    "ticket_timeout_s",
    "party_size_max",
    "capacity",
    "starving_after_s",
];
/// The keys of a `[queue.rating]`.
const RATING_KEYS: [&str; 4] = ["window_start", "window_growth_per_s", "window_max", "pre_expand_wait_s"];

/// The queues of a TOML text, or all its faults in the order of their lines.
///
/// # Errors
/// Every fault: of TOML itself, unknown keys, missing keys, values of a wrong type or out of range, equal names.
pub fn parse(text: &str) -> Result<Vec<QueueConfig>, Vec<Fault>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, faults: Vec::new() };
    for error in errors {
        reader.fault(&error.span().unwrap_or(0..0), error.message().to_owned());
    }
    if reader.faults.is_empty() {
        let queues = reader.file(&root);
        if reader.faults.is_empty() {
            return Ok(queues);
        }
    }
    reader.faults.sort_by_key(|fault| fault.line);
    Err(reader.faults)
}

/// Collects faults while it reads.
struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

/// A table in the file, and what to call it in a fault.
struct Section<'a, 'i> {
    called: String,
    span: Range<usize>,
    table: &'a DeTable<'i>,
}

impl<'a, 'i> Section<'a, 'i> {
    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.get(key)
    }
}

impl Reader<'_> {
    fn fault(&mut self, span: &Range<usize>, text: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        self.faults.push(Fault { line: before.matches('\n').count() + 1, text });
    }

    fn file(&mut self, root: &Spanned<DeTable<'_>>) -> Vec<QueueConfig> {
        let whole = Section { called: "the file".into(), span: 0..0, table: root.get_ref() };
        self.known_keys(&whole, &["queue"]);
        let queues = whole.get("queue").and_then(|value| value.get_ref().as_array());
        let Some(queues) = queues.filter(|queues| !queues.is_empty()) else {
            self.fault(&(0..0), "no queue: write a [[queue]] table with name, teams, players_per_team, fleet".into());
            return Vec::new();
        };
        if queues.len() > QUEUES_MAX {
            self.fault(&(0..0), format!("{} queues: at most {QUEUES_MAX} are served", queues.len()));
        }
        let mut read: Vec<QueueConfig> = Vec::new();
        for (place, value) in queues.iter().enumerate() {
            let Some(table) = value.get_ref().as_table() else {
                self.fault(&value.span(), "queue must be written as [[queue]] tables".into());
                continue;
            };
            let name = table.get("name").and_then(|name| name.get_ref().as_str());
            let called = name.map_or(format!("queue number {}", place + 1), |name| format!("queue \"{name}\""));
            let section = Section { called, span: value.span(), table };
            let queue = self.queue(&section);
            if let Some(first) = read.iter().find(|other| !queue.name.is_empty() && other.name == queue.name) {
                let text = format!("queue \"{}\" is there twice: give each queue a name of its own", first.name);
                self.fault(&section.span, text);
            }
            read.push(queue);
        }
        read
    }

    /// A queue; where a value is at fault, some value stands in and the fault is noted.
    fn queue(&mut self, section: &Section<'_, '_>) -> QueueConfig {
        self.known_keys(section, &QUEUE_KEYS);
        let name = self.name(section, "name", true);
        let teams = self.whole(section, "teams", 1..=PLAYERS_MAX, None);
        let players_per_team = self.whole(section, "players_per_team", 1..=PLAYERS_MAX, None);
        let players = teams.saturating_mul(players_per_team);
        if !(2..=PLAYERS_MAX).contains(&players) {
            let text = format!(
                "{}: {teams} teams of {players_per_team} are {players} players: a match has 2 to {PLAYERS_MAX}",
                section.called
            );
            self.fault(&section.span, text);
        }
        let max_ms = self.whole(section, "rtt_ms_max", 1..=10_000, Some(150));
        let ceiling_ms = self.whole(section, "rtt_ms_ceiling", 1..=10_000, Some(max_ms.max(400)));
        if ceiling_ms < max_ms {
            self.fault_at(section, "rtt_ms_ceiling", &format!("must not be below rtt_ms_max ({max_ms})"));
        }
        QueueConfig {
            name,
            teams,
            players_per_team,
            fleet: self.name(section, "fleet", true),
            build: self.name(section, "build", false),
            regions: self.regions(section),
            settings_json: self.settings(section),
            rating: self.rating(section),
            rtt: RttRule {
                max_ms,
                growth_ms_per_s: self.number(section, "rtt_ms_growth_per_s", 0.0, Some(2.0)),
                ceiling_ms,
            },
            ticket_timeout_s: self.whole(section, "ticket_timeout_s", 1..=86_400, Some(300)),
            party_size_max: self.whole(section, "party_size_max", 1..=players_per_team, Some(players_per_team)),
            capacity: self.whole(section, "capacity", 1..=1_000_000, Some(20_000)),
            starving_after_s: self.whole(section, "starving_after_s", 0..=86_400, Some(30)),
            source: Source::default(),
        }
    }

    fn rating(&mut self, queue: &Section<'_, '_>) -> Option<RatingRule> {
        let value = queue.get("rating")?;
        let Some(table) = value.get_ref().as_table() else {
            self.fault_at(queue, "rating", "must be a table: [queue.rating] with window_start and more");
            return None;
        };
        let section = Section { called: format!("{}, rating", queue.called), span: value.span(), table };
        self.known_keys(&section, &RATING_KEYS);
        let rule = RatingRule {
            window_start: self.number(&section, "window_start", 0.0, None),
            window_growth_per_s: self.number(&section, "window_growth_per_s", 0.0, None),
            window_max: self.number(&section, "window_max", 0.0, None),
            pre_expand_wait_s: self.number(&section, "pre_expand_wait_s", 0.0, Some(10.0)),
        };
        if section.get("window_max").is_some() && rule.window_max < rule.window_start {
            self.fault_at(&section, "window_max", &format!("must not be below window_start ({})", rule.window_start));
        }
        Some(rule)
    }

    fn regions(&mut self, section: &Section<'_, '_>) -> Vec<String> {
        let Some(value) = section.get("regions") else {
            return Vec::new();
        };
        let texts = value.get_ref().as_array().map(|array| {
            array.iter().filter_map(|region| region.get_ref().as_str()).map(str::to_owned).collect::<Vec<_>>()
        });
        let whole = texts.filter(|texts| Some(texts.len()) == value.get_ref().as_array().map(|array| array.len()));
        let Some(regions) = whole else {
            self.fault_at(section, "regions", "must be an array of names, such as [\"eu-west\", \"us-east\"]");
            return Vec::new();
        };
        if regions.len() > REGIONS_MAX {
            self.fault_at(section, "regions", &format!("has {} names: at most {REGIONS_MAX}", regions.len()));
        }
        for (place, region) in regions.iter().enumerate() {
            if !is_name(region) {
                self.fault_at(section, "regions", &format!("has \"{region}\": {NAME_RULE}"));
            }
            if regions[..place].contains(region) {
                self.fault_at(section, "regions", &format!("names \"{region}\" twice: name each region once"));
            }
        }
        regions
    }

    fn settings(&mut self, section: &Section<'_, '_>) -> String {
        let Some(value) = section.get("settings") else {
            return "{}".into();
        };
        if value.get_ref().as_table().is_none() {
            self.fault_at(section, "settings", "must be a table: [queue.settings]");
            return "{}".into();
        }
        let json = match to_json(value.get_ref()) {
            Ok(json) => json.to_string(),
            Err(why) => {
                self.fault_at(section, "settings", why);
                return "{}".into();
            }
        };
        if json.len() > SETTINGS_BYTES_MAX {
            let text = format!("take {} bytes as JSON: at most {SETTINGS_BYTES_MAX}", json.len());
            self.fault_at(section, "settings", &text);
        }
        json
    }

    fn known_keys(&mut self, section: &Section<'_, '_>, keys: &[&str]) {
        for key in section.table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let text = format!("{}: unknown key \"{}\": known are {}", section.called, key.get_ref(), keys.join(", "));
            self.fault(&key.span(), text);
        }
    }

    fn name(&mut self, section: &Section<'_, '_>, key: &str, required: bool) -> String {
        match section.get(key).map(|value| value.get_ref().as_str()) {
            None if required => self.missing(section, key),
            None => {}
            Some(Some("")) if !required => {}
            Some(Some(text)) if is_name(text) || (key == "build" && is_build(text)) => {
                return text.to_owned();
            }
            Some(_) => self.fault_at(section, key, NAME_RULE),
        }
        String::new()
    }

    fn whole(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
        default: Option<u32>,
    ) -> u32 {
        let (low, high) = (*range.start(), *range.end());
        let Some(value) = section.get(key) else {
            return default.unwrap_or_else(|| {
                self.missing(section, key);
                low
            });
        };
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.fault_at(section, key, &format!("must be a whole number from {low} to {high}"));
            low
        })
    }

    fn number(&mut self, section: &Section<'_, '_>, key: &str, low: f64, default: Option<f64>) -> f64 {
        let Some(value) = section.get(key) else {
            return default.unwrap_or_else(|| {
                self.missing(section, key);
                low
            });
        };
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite() && (low..=1e9).contains(number)).unwrap_or_else(|| {
            self.fault_at(section, key, &format!("must be a number from {low} to 1e9"));
            low
        })
    }

    fn missing(&mut self, section: &Section<'_, '_>, key: &str) {
        self.fault(&section.span, format!("{}: {key} is missing", section.called));
    }

    fn fault_at(&mut self, section: &Section<'_, '_>, key: &str, what: &str) {
        let span = section.get(key).map_or(section.span.clone(), Spanned::span);
        self.fault(&span, format!("{}: {key} {what}", section.called));
    }
}

const NAME_RULE: &str = "must be 1 to 63 lower-case letters, digits, '-', '_' or '.'";

fn to_json(value: &DeValue<'_>) -> Result<serde_json::Value, &'static str> {
    const NUMBER: &str = "hold a number that JSON cannot hold: write it as a string";
    Ok(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(on) => (*on).into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| NUMBER)?.into(),
        DeValue::Float(number) => {
            let number = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            serde_json::Value::Number(number.ok_or(NUMBER)?)
        }
        DeValue::Datetime(_) => return Err("hold a date, which JSON has not: write it as a string"),
        DeValue::Array(array) => array.iter().map(|value| to_json(value.get_ref())).collect::<Result<_, _>>()?,
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), to_json(value.get_ref())?)));
            serde_json::Value::Object(entries.collect::<Result<_, &'static str>>()?)
        }
    })
}
