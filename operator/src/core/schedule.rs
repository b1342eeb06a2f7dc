//! Minimums by the clock.

use crds::{ScheduleEntry, Weekday};

const DAY_MINUTES: u32 = 24 * 60;
const DAYS: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

/// The largest minimum that applies at this moment, 0 without one.
pub fn minimum(schedule: &[ScheduleEntry], unix_s: i64) -> u32 {
    schedule.iter().filter(|entry| applies(entry, unix_s)).map(|entry| entry.minimum).max().unwrap_or(0)
}

fn applies(entry: &ScheduleEntry, unix_s: i64) -> bool {
    let (Some(start), Some(end)) = (minutes(&entry.start), minutes(&entry.end)) else { return false };
    let minute = (unix_s.rem_euclid(86_400) / 60) as u32;
    // 1 January 1970 was a Thursday.
    let today = (unix_s.div_euclid(86_400) + 3).rem_euclid(7) as usize;
    let yesterday = (today + 6) % 7;
    let begins_on = |day: usize| entry.days.is_empty() || entry.days.contains(&DAYS[day]);
    if start < end {
        begins_on(today) && (start..end).contains(&minute)
    } else {
        (begins_on(today) && minute >= start) || (begins_on(yesterday) && minute < end)
    }
}

/// `HH:MM` as minutes of the day; the schema refuses anything else.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let minutes = hours.parse::<u32>().ok()? * 60 + minutes.parse::<u32>().ok()?;
    (minutes < DAY_MINUTES).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(days: &[Weekday], start: &str, end: &str, minimum: u32) -> ScheduleEntry {
        ScheduleEntry { name: "evening".into(), days: days.to_vec(), start: start.into(), end: end.into(), minimum }
    }

    /// Friday, 20 November 2026, at this hour and minute UTC.
    fn friday(hour: i64, minute: i64) -> i64 {
        1_795_132_800 + hour * 3_600 + minute * 60
    }

    #[test]
    fn the_largest_minimum_that_applies_counts() {
        let schedule = [entry(&[], "18:00", "23:00", 5), entry(&[Weekday::Fri], "19:00", "20:00", 9)];
        let at = |hour, minute| minimum(&schedule, friday(hour, minute));
        assert_eq!([at(17, 59), at(18, 0), at(19, 30), at(20, 0), at(23, 0)], [0, 5, 9, 5, 0]);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let schedule = [entry(&[Weekday::Fri], "22:00", "02:00", 7)];
        let saturday = |hour: i64, minute| friday(24 + hour, minute);
        assert_eq!(minimum(&schedule, friday(1, 0)), 0, "Thursday's night");
        assert_eq!(minimum(&schedule, friday(22, 0)), 7);
        assert_eq!(minimum(&schedule, saturday(1, 59)), 7);
        assert_eq!(minimum(&schedule, saturday(2, 0)), 0);
        assert_eq!(minimum(&schedule, saturday(23, 0)), 0);
    }
}
