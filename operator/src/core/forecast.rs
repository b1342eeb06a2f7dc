//! Holt-Winters with an additive season of one day: what will be busy when a server that is started now is ready.
//!
//! Winters, "Forecasting sales by exponentially weighted moving averages", 1960. Demand for games repeats by the day far more
//! than by anything else, so the season is fixed; until a whole day was seen there is no forecast.

/// Slots of a day: one every five minutes.
pub const SLOTS: usize = 288;
/// Seconds of a slot.
pub const SLOT_SECONDS: i64 = 300;
/// Weight of a new value in the level.
const LEVEL: f64 = 0.2;
/// Weight of a new slope in the trend.
const TREND: f64 = 0.02;
/// What remains of a trend after one slot: demand does not grow for ever.
const DAMPING: f64 = 0.9;
/// Weight of a new value in its slot of the season.
const SEASON: f64 = 0.3;

/// Learns busy servers, slot by slot.
#[derive(Debug, Clone, PartialEq)]
pub struct HoltWinters {
    level: f64,
    trend: f64,
    season: Vec<f64>,
    /// The last slot that was learned, in slots since 1970.
    last: Option<i64>,
    /// Slots learned so far, up to [`SLOTS`].
    learned: usize,
    /// The first day, as seen: the season begins as its distance from its mean.
    first_day: Vec<f64>,
}

impl Default for HoltWinters {
    fn default() -> Self {
        Self { level: 0.0, trend: 0.0, season: vec![0.0; SLOTS], last: None, learned: 0, first_day: vec![0.0; SLOTS] }
    }
}

impl HoltWinters {
    /// The most servers that were busy in the slot of this moment. Slots must come in order; one that was missed (the
    /// operator was away) counts like the forecast for it, a slot that was learned already is ignored.
    pub fn learn(&mut self, unix_s: i64, busy: f64) {
        let slot = unix_s.div_euclid(SLOT_SECONDS);
        if self.last.is_some_and(|last| slot <= last) {
            return;
        }
        let missed = self.last.map_or(0, |last| (slot - last - 1).min(SLOTS as i64));
        for n in (1..=missed).rev() {
            let missing = slot - n;
            let value = self.at(missing).unwrap_or(busy);
            self.take(missing, value);
        }
        self.take(slot, busy);
    }

    /// Busy servers expected at this moment; `None` until a whole day was seen.
    pub fn forecast(&self, unix_s: i64) -> Option<f64> {
        self.at(unix_s.div_euclid(SLOT_SECONDS)).map(|value| value.max(0.0))
    }

    fn at(&self, slot: i64) -> Option<f64> {
        let last = self.last.filter(|_| self.learned >= SLOTS)?;
        let ahead = (slot - last).max(0) as i32;
        let trend = self.trend * DAMPING * (1.0 - DAMPING.powi(ahead)) / (1.0 - DAMPING);
        Some(self.level + trend + self.season[place(slot)])
    }

    fn take(&mut self, slot: i64, value: f64) {
        self.last = Some(slot);
        if self.learned < SLOTS {
            self.first_day[place(slot)] = value;
            self.learned += 1;
            if self.learned == SLOTS {
                self.level = self.first_day.iter().sum::<f64>() / SLOTS as f64;
                for (season, seen) in self.season.iter_mut().zip(&self.first_day) {
                    *season = seen - self.level;
                }
            }
            return;
        }
        let season = self.season[place(slot)];
        let (level, trend) = (self.level, self.trend * DAMPING);
        self.level = LEVEL * (value - season) + (1.0 - LEVEL) * (level + trend);
        self.trend = TREND * (self.level - level) + (1.0 - TREND) * trend;
        self.season[place(slot)] = SEASON * (value - self.level) + (1.0 - SEASON) * season;
    }
}

fn place(slot: i64) -> usize {
    slot.rem_euclid(SLOTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    /// Ten servers by night, up to fifty in the evening, growing by `growth` a day.
    fn demand(unix_s: i64, growth: f64) -> f64 {
        let hour = unix_s.rem_euclid(DAY) as f64 / 3_600.0;
        let evening = (-(hour - 20.0).powi(2) / 8.0).exp() * 40.0;
        10.0 + evening + growth * unix_s as f64 / DAY as f64
    }

    fn after(days: i64, growth: f64) -> HoltWinters {
        let mut model = HoltWinters::default();
        for slot in 0..days * SLOTS as i64 {
            model.learn(slot * SLOT_SECONDS, demand(slot * SLOT_SECONDS, growth));
        }
        model
    }

    #[test]
    fn there_is_no_forecast_before_a_whole_day_was_seen() {
        let mut model = HoltWinters::default();
        for slot in 0..SLOTS as i64 - 1 {
            model.learn(slot * SLOT_SECONDS, 5.0);
        }
        assert_eq!(model.forecast(DAY), None);
        model.learn(DAY - SLOT_SECONDS, 5.0);
        assert_eq!(model.forecast(DAY), Some(5.0));
    }

    #[test]
    fn a_day_that_repeats_is_foreseen_an_hour_ahead() {
        let model = after(4, 0.0);
        for hour in [0, 6, 12, 18, 20, 22] {
            let mut known = model.clone();
            let now = 4 * DAY + hour * 3_600;
            for slot in 4 * SLOTS as i64..now / SLOT_SECONDS {
                known.learn(slot * SLOT_SECONDS, demand(slot * SLOT_SECONDS, 0.0));
            }
            let (said, comes) = (known.forecast(now + 3_600).expect("learned"), demand(now + 3_600, 0.0));
            assert!((said - comes).abs() < 2.0, "hour {hour}: {said} for {comes}");
        }
    }

    #[test]
    fn a_growing_game_is_followed_and_an_absent_operator_spoils_nothing() {
        let mut model = after(6, 5.0);
        let back = 6 * DAY + 3 * 3_600;
        model.learn(back, demand(back, 5.0));
        let (said, comes) = (model.forecast(back + 600).expect("learned"), demand(back + 600, 5.0));
        assert!((said - comes).abs() < 6.0, "{said} for {comes}");
        model.learn(back, 1_000.0);
        assert_eq!(model.forecast(back + 600), Some(said), "a slot counts once");
    }
}
