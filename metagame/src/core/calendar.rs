//! Calendars: when a leaderboard begins anew, when a challenge does. All times are UTC.

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// 1970-01-01 was a Thursday: the week that it was in had begun three days before.
const DAYS_BEFORE_EPOCH: u64 = 3;

/// How often something begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// It goes on for ever.
    #[default]
    Never,
    /// Each day.
    Day,
    /// Each Monday.
    Week,
    /// On the first of each month.
    Month,
}

/// How often, and at which minute of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calendar {
    /// How often.
    pub every: Every,
    /// Minutes after midnight UTC, below 1,440.
    pub minute: u32,
}

/// One stretch of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Counts up by one from each period to the next; 0 where nothing begins anew.
    pub number: u64,
    /// Unix milliseconds.
    pub starts_at_ms: u64,
    /// Unix milliseconds, where it ends; the next one begins with it.
    pub ends_at_ms: Option<u64>,
}

impl Calendar {
    /// The period that `at_ms` is in. Before the calendar's first it is the first.
    pub fn at(self, at_ms: u64) -> Period {
        let local_ms = at_ms.saturating_sub(self.shift_ms());
        let days = local_ms / DAY_MS;
        match self.every {
            Every::Never => self.period(0),
            Every::Day => self.period(days),
            Every::Week => self.period((days + DAYS_BEFORE_EPOCH) / 7),
            Every::Month => self.period(month_of(local_ms)),
        }
    }

    /// The period with this number.
    pub fn period(self, number: u64) -> Period {
        let begin = |number: u64| match self.every {
            Every::Never => 0,
            Every::Day => number.saturating_mul(DAY_MS),
            Every::Week => (number.saturating_mul(7)).saturating_sub(DAYS_BEFORE_EPOCH).saturating_mul(DAY_MS),
            Every::Month => month_begins(number),
        };
        if self.every == Every::Never {
            return Period { number: 0, starts_at_ms: 0, ends_at_ms: None };
        }
        let shift = |begin: u64| begin.saturating_add(self.shift_ms());
        let ends_at_ms = Some(shift(begin(number.saturating_add(1))));
        Period { number, starts_at_ms: shift(begin(number)), ends_at_ms }
    }

    fn shift_ms(self) -> u64 {
        u64::from(self.minute) * MINUTE_MS
    }
}

/// Months since January 1970.
fn month_of(at_ms: u64) -> u64 {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    // Times beyond the year 9999 are one month.
    let date = OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date);
    let years = u64::try_from(date.year() - 1970).unwrap_or(0);
    years * 12 + u64::from(u8::from(date.month())) - 1
}

fn month_begins(number: u64) -> u64 {
    let year = i32::try_from(1970 + number / 12).unwrap_or(i32::MAX);
    let month = Month::try_from(u8::try_from(number % 12).expect("below 12") + 1).expect("1 to 12");
    let date = Date::from_calendar_date(year, month, 1).unwrap_or(Date::MAX);
    u64::try_from(date.midnight().assume_utc().unix_timestamp()).unwrap_or(0) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    fn ms(at: OffsetDateTime) -> u64 {
        u64::try_from(at.unix_timestamp()).expect("after 1970") * 1_000
    }

    fn calendar(every: Every) -> Calendar {
        Calendar { every, minute: 5 * 60 }
    }

    #[test]
    fn each_calendar_turns_at_its_minute() {
        let turn = ms(datetime!(2026-06-01 05:00 UTC));
        for every in [Every::Day, Every::Week, Every::Month] {
            let (before, after) = (calendar(every).at(turn - 1), calendar(every).at(turn));
            assert_eq!(before.number + 1, after.number, "{every:?}: the first of June 2026 is a Monday");
            assert_eq!((before.ends_at_ms, after.starts_at_ms), (Some(turn), turn));
        }
        assert_eq!(calendar(Every::Never).at(turn), Period { number: 0, starts_at_ms: 0, ends_at_ms: None });
    }

    #[test]
    fn weeks_begin_on_monday() {
        let week = calendar(Every::Week).at(ms(datetime!(2026-11-21 12:00 UTC)));
        assert_eq!(week.starts_at_ms, ms(datetime!(2026-11-16 05:00 UTC)));
        assert_eq!(week.ends_at_ms, Some(ms(datetime!(2026-11-23 05:00 UTC))));
    }

    proptest! {
        #[test]
        fn every_moment_is_in_the_period_that_it_is_said_to_be_in(
            at_ms in 7 * DAY_MS..250_000_000_000_000_u64, minute in 0_u32..1_440, which in 0..3_usize
        ) {
            let calendar = Calendar { every: [Every::Day, Every::Week, Every::Month][which], minute };
            let period = calendar.at(at_ms);
            prop_assert_eq!(calendar.period(period.number), period);
            let ends_at_ms = period.ends_at_ms.expect("it ends");
            prop_assert!(period.starts_at_ms <= at_ms || period.number == 0);
            prop_assert!(at_ms < ends_at_ms);
            prop_assert_eq!(calendar.at(ends_at_ms).number, period.number + 1);
        }
    }
}
