//! Days, by which reports are kept and dropped: numbers since 1970, and names such as `2026-11-22`. All of them are UTC's.

use time::{Date, Duration, OffsetDateTime};

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The day of a moment.
pub fn day_of(at_ms: u64) -> u64 {
    at_ms / DAY_MS
}

/// Its name; that of 1970-01-01 for days that no calendar has.
pub fn name(day: u64) -> String {
    let first = OffsetDateTime::UNIX_EPOCH.date();
    let days = Duration::days(i64::try_from(day).unwrap_or(i64::MAX / 100_000).min(i64::MAX / 100_000));
    let date = first.checked_add(days).unwrap_or(first);
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// The day of a name.
pub fn read(name: &str) -> Option<u64> {
    let (year, rest) = name.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let month = month.parse::<u8>().ok()?.try_into().ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    u64::try_from((date - OffsetDateTime::UNIX_EPOCH.date()).whole_days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_name_and_a_name_its_day() {
        assert_eq!((name(0).as_str(), name(20_779).as_str()), ("1970-01-01", "2026-11-22"));
        assert_eq!(day_of(1_795_305_600_000 - 1) + 1, day_of(1_795_305_600_000));
        for day in [0, 58, 59, 11_016, 20_779, 30_000] {
            assert_eq!(read(&name(day)), Some(day));
        }
        for bad in ["", "2026", "2026-11", "2026-02-30", "x-1-1", "1969-12-31", "2026-11-22x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(name(u64::MAX), "1970-01-01");
    }
}
