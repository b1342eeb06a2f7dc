//! Events: when they are on. All times are UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::condition::{Condition, NAME_BYTES_MAX};
use crate::core::calendar::{Calendar, Every};
use crate::core::leaderboard::minute;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;
/// Largest data as JSON.
const DATA_BYTES_MAX: usize = 4 * 1_024;
/// Most languages of a title, and longest title in bytes.
const TITLES_MAX: usize = 32;
const TITLE_BYTES_MAX: usize = 256;

/// An event as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventForm {
    /// Its name for the game.
    pub id: String,
    /// What kind of event it is: the game's own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name for players, by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub titles: BTreeMap<String, String>,
    /// From when on, RFC 3339 in UTC.
    pub starts_at: String,
    /// Until when; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// Within that time it is on again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurs: Option<RecursForm>,
    /// For whom.
    #[serde(default, skip_serializing_if = "is_for_all")]
    pub when: Condition,
    /// What the game does with it: the game's own.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

fn is_for_all(when: &Condition) -> bool {
    *when == Condition::default()
}

/// How often an event is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecursForm {
    /// Each day, week or month.
    pub every: Every,
    /// "HH:MM" in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// On which day of the week: 1 is Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<u32>,
    /// On which day of the month: 1 to 28.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<u32>,
    /// For how long.
    pub minutes: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// As it was written.
    pub form: EventForm,
    starts_at_ms: u64,
    ends_at_ms: Option<u64>,
    recurs: Option<Recurs>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recurs {
    calendar: Calendar,
    /// From the begin of each period.
    offset_ms: u64,
    lasts_ms: u64,
}

/// One time that an event is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Ascends from each to the next.
    pub number: u64,
    /// Unix milliseconds.
    pub starts_at_ms: u64,
    /// Unix milliseconds; `None`: it goes on for ever.
    pub ends_at_ms: Option<u64>,
}

impl Occurrence {
    /// Whether it is on.
    pub fn is_on(&self, now_ms: u64) -> bool {
        self.starts_at_ms <= now_ms && self.ends_at_ms.is_none_or(|ends| now_ms < ends)
    }
}

impl Event {
    /// Reads an event as it is written.
    ///
    /// # Errors
    /// The first fault in words, with what to do.
    pub fn read(form: EventForm) -> Result<Self, String> {
        let plain = |text: &str| {
            text.len() <= NAME_BYTES_MAX
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if form.id.is_empty() || !plain(&form.id) || !plain(&form.kind) {
            return Err(format!("id and kind have at most {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'"));
        }
        if form.titles.len() > TITLES_MAX || form.titles.values().any(|title| title.len() > TITLE_BYTES_MAX) {
            return Err(format!("it has at most {TITLES_MAX} titles of at most {TITLE_BYTES_MAX} bytes"));
        }
        if form.data.to_string().len() > DATA_BYTES_MAX {
            return Err(format!("its data has more than {DATA_BYTES_MAX} bytes"));
        }
        form.when.check()?;
        let starts_at_ms = time_ms(&form.starts_at)?;
        let ends_at_ms = form.ends_at.as_deref().map(time_ms).transpose()?;
        if ends_at_ms.is_some_and(|ends| ends <= starts_at_ms) {
            return Err("it ends before it starts".to_owned());
        }
        let recurs = form.recurs.as_ref().map(read_recurs).transpose()?;
        Ok(Self { form, starts_at_ms, ends_at_ms, recurs })
    }

    /// The time that it is on now, or else the next one; `None`: never again.
    pub fn around(&self, now_ms: u64) -> Option<Occurrence> {
        let Some(Recurs { calendar, offset_ms, lasts_ms }) = self.recurs else {
            let whole = Occurrence { number: 0, starts_at_ms: self.starts_at_ms, ends_at_ms: self.ends_at_ms };
            return Some(whole).filter(|whole| whole.ends_at_ms.is_none_or(|ends| now_ms < ends));
        };
        let current = calendar.at(now_ms.max(self.starts_at_ms)).number;
        // One that began in the period before may still be on, and this period's may be over.
        let near = current.saturating_sub(1)..=current.saturating_add(1);
        near.map(|number| {
            let starts_at_ms = calendar.period(number).starts_at_ms.saturating_add(offset_ms);
            let ends_at_ms = starts_at_ms.saturating_add(lasts_ms);
            Occurrence {
                number,
                starts_at_ms,
                ends_at_ms: Some(self.ends_at_ms.map_or(ends_at_ms, |end| end.min(ends_at_ms))),
            }
        })
        .find(|one| {
            let begins_within =
                one.starts_at_ms >= self.starts_at_ms && self.ends_at_ms.is_none_or(|end| one.starts_at_ms < end);
            begins_within && one.ends_at_ms.is_some_and(|ends| now_ms < ends)
        })
    }
}

fn time_ms(text: &str) -> Result<u64, String> {
    let fault = || format!("{text:?} is not a time: write \"2026-12-24T18:00:00Z\"");
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| fault())?;
    u64::try_from(at.unix_timestamp()).map(|seconds| seconds * 1_000).map_err(|_| fault())
}

fn read_recurs(form: &RecursForm) -> Result<Recurs, String> {
    let minute_of_day = match form.at.as_deref() {
        None => 0,
        Some(text) => minute(text).ok_or_else(|| format!("at {text:?} is not a time of the day: write \"18:00\""))?,
    };
    if form.weekday.is_some() && form.every != Every::Week {
        return Err("weekday needs every = \"week\"".to_owned());
    }
    if form.day.is_some() && form.every != Every::Month {
        return Err("day needs every = \"month\"".to_owned());
    }
    let (period_days, day) = match form.every {
        Every::Never => return Err("recurs needs every = \"day\", \"week\" or \"month\"".to_owned()),
        Every::Day => (1, 1),
        Every::Week => (7, form.weekday.unwrap_or(1)),
        Every::Month => (28, form.day.unwrap_or(1)),
    };
    if !(1..=period_days).contains(&day) {
        return Err(format!("the day is 1 to {period_days}"));
    }
    let minutes_max = u64::from(period_days) * DAY_MINUTES;
    if !(1..=minutes_max).contains(&form.minutes) {
        return Err(format!("it lasts 1 to {minutes_max} minutes, as often as it recurs"));
    }
    Ok(Recurs {
        calendar: Calendar { every: form.every, minute: minute_of_day },
        offset_ms: u64::from(day - 1) * DAY_MINUTES * MINUTE_MS,
        lasts_ms: form.minutes * MINUTE_MS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(recurs: Option<RecursForm>) -> EventForm {
        EventForm {
            id: "double-xp".into(),
            kind: String::new(),
            titles: BTreeMap::new(),
            starts_at: "2026-11-01T00:00:00Z".into(),
            ends_at: Some("2027-01-01T00:00:00Z".into()),
            recurs,
            when: Condition::default(),
            data: Value::Null,
        }
    }

    fn recurs(every: Every, weekday: Option<u32>, day: Option<u32>, minutes: u64) -> RecursForm {
        RecursForm { every, at: Some("18:00".into()), weekday, day, minutes }
    }

    fn ms(text: &str) -> u64 {
        time_ms(text).expect("a time")
    }

    #[test]
    fn a_weekend_recurs_from_friday_evening_to_sunday_night() {
        let event = Event::read(form(Some(recurs(Every::Week, Some(5), None, 54 * 60)))).expect("an event");
        let around =
            |text: &str| event.around(ms(text)).map(|one| (one.starts_at_ms, one.ends_at_ms, one.is_on(ms(text))));
        let first = (ms("2026-11-20T18:00:00Z"), Some(ms("2026-11-23T00:00:00Z")));
        assert_eq!(around("2026-11-20T17:59:59Z"), Some((first.0, first.1, false)));
        assert_eq!(around("2026-11-22T23:59:59Z"), Some((first.0, first.1, true)), "the week has turned, it has not");
        assert_eq!(around("2026-11-23T00:00:00Z").map(|one| one.0), Some(ms("2026-11-27T18:00:00Z")));
        assert_eq!(
            around("2020-01-01T00:00:00Z").map(|one| one.0),
            Some(ms("2026-11-06T18:00:00Z")),
            "not before it starts"
        );
        assert_eq!(around("2026-12-31T00:00:00Z"), None, "the next would begin after its end");
    }

    #[test]
    fn an_event_that_does_not_recur_is_on_once() {
        let event = Event::read(form(None)).expect("an event");
        assert!(event.around(ms("2026-12-31T23:59:59Z")).is_some_and(|one| one.is_on(ms("2026-12-31T23:59:59Z"))));
        assert_eq!(event.around(ms("2027-01-01T00:00:00Z")), None);
        let for_ever = Event::read(EventForm { ends_at: None, ..form(None) }).expect("an event");
        assert!(for_ever.around(u64::MAX).is_some());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let fault = |form| Event::read(form).expect_err("a fault");
        assert!(fault(EventForm { starts_at: "soon".into(), ..form(None) }).contains("not a time"));
        assert!(fault(EventForm { ends_at: Some("2026-01-01T00:00:00Z".into()), ..form(None) }).contains("before"));
        assert!(fault(form(Some(recurs(Every::Never, None, None, 5)))).contains("every"));
        assert!(fault(form(Some(recurs(Every::Day, Some(1), None, 5)))).contains("week"));
        assert!(fault(form(Some(recurs(Every::Month, None, Some(29), 5)))).contains("1 to 28"));
        assert!(fault(form(Some(recurs(Every::Day, None, None, 1_441)))).contains("1 to 1440"));
        assert!(
            fault(form(Some(RecursForm { at: Some("25:00".into()), ..recurs(Every::Day, None, None, 5) })))
                .contains("at")
        );
    }

    proptest! {
        /// What is said to be next is next: nothing is on before it, and asking in between gives the same.
        #[test]
        fn times_come_in_order_and_none_is_left_out(
            at_ms in ms("2026-10-01T00:00:00Z")..ms("2027-02-01T00:00:00Z"), which in 0..3_usize, day in 1..=28_u32, length in 1..=28_u64, share in 0.0..1.0_f64
        ) {
            let every = [Every::Day, Every::Week, Every::Month][which];
            let (weekday, day) = ((which == 1).then_some(day.min(7)), (which == 2).then_some(day));
            let minutes = length.min([1, 7, 28][which]) * DAY_MINUTES;
            let event = Event::read(form(Some(recurs(every, weekday, day, minutes)))).expect("an event");
            if let Some(one) = event.around(at_ms) {
                let ends = one.ends_at_ms.expect("it ends");
                prop_assert!(at_ms < ends && one.starts_at_ms < ends);
                let between = at_ms + ((one.starts_at_ms.saturating_sub(at_ms)) as f64 * share) as u64;
                prop_assert_eq!(event.around(between), Some(one));
                if let Some(next) = event.around(ends) {
                    prop_assert!(next.starts_at_ms >= ends && next.number > one.number);
                }
            }
        }
    }
}
