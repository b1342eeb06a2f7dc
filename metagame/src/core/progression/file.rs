//! The file of progression (`muster metagame --progression FILE`): TOML, checked against the catalog as a whole, with every fault
//! named at once.

mod forms;

use std::collections::{BTreeMap, BTreeSet};

use super::{Achievement, Challenge, Draw, Keep, Measure, Prestige, Progression, Season, Tier, Unlock, What};
use crate::core::calendar::{Calendar, Every};
use crate::core::catalog::file::{PartTable, part, unix_ms};
use crate::core::catalog::{Catalog, Part};
use crate::core::leaderboard::minute;
use crate::core::progress::{XpRules, curve};
use forms::{
    AchievementForm, ChallengeForm, DrawForm, File, LevelForm, MeasureForm, PrestigeForm, SeasonForm, StatForm,
    TierForm, UnlockForm, XpForm,
};

/// Longest id in bytes.
const ID_BYTES_MAX: usize = 48;
/// Most levels.
const LEVELS_MAX: usize = 10_000;
/// Most of each sort: each is a row of a player's, written by results.
const MANY_MAX: usize = 512;
/// Most challenges of a period.
const DRAW_MAX: usize = 20;
/// Most figures of results that are kept.
const STATS_MAX: usize = 64;
/// Most parts of one reward or price.
const PARTS_MAX: usize = 32;
/// Largest goal, and most XP of a tier or level.
const GOAL_MAX: u64 = 1_000_000_000_000;
/// Days after a season in which its tiers can be claimed, where the file does not say.
const CLAIM_DAYS: u64 = 14;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Every fault of a file of progression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the progression cannot be used:\n  {}", .0.join("\n  "))]
pub struct ProgressionFaults(pub Vec<String>);

/// Reads and checks a file.
///
/// # Errors
/// [`ProgressionFaults`], all at once.
pub fn parse(text: &str, catalog: &Catalog) -> Result<Progression, ProgressionFaults> {
    let file: File = toml::from_str(text).map_err(|error| ProgressionFaults(vec![error.to_string()]))?;
    let mut check = Check { catalog, faults: Vec::new() };
    if file.version == 0 {
        check.fault("version", "it begins at 1");
    }
    let xp = check.xp(file.xp);
    let rules = Progression {
        version: file.version,
        level_rewards: check.levels(file.level, &xp),
        stats: check.stats(file.stat),
        seasons: check.seasons(file.season),
        challenges: check.many("challenge", file.challenge, |form| form.id.clone(), Check::challenge),
        daily: check.draw("daily", &file.daily, Every::Day),
        weekly: check.draw("weekly", &file.weekly, Every::Week),
        achievements: check.many("achievement", file.achievement, |form| form.id.clone(), Check::achievement),
        unlocks: check.many("unlock", file.unlock, |form| form.id.clone(), Check::unlock),
        prestige: file.prestige.map(|form| check.prestige(form, &xp)),
        xp,
        source: text.to_owned(),
    };
    check.trees(&rules.unlocks);
    if check.faults.is_empty() { Ok(rules) } else { Err(ProgressionFaults(check.faults)) }
}

struct Check<'a> {
    catalog: &'a Catalog,
    faults: Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, subject: &str, fault: impl std::fmt::Display) {
        self.faults.push(format!("{subject}: {fault}"));
    }

    fn id(&mut self, subject: &str, id: &str) {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(good) {
            self.fault(subject, format!("an id has 1 to {ID_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'"));
        }
    }

    /// Things of one sort, by their ids.
    fn many<F, T>(
        &mut self,
        sort: &str,
        forms: Vec<F>,
        id: impl Fn(&F) -> String,
        read: impl Fn(&mut Self, &str, F) -> T,
    ) -> BTreeMap<String, T> {
        if forms.len() > MANY_MAX {
            self.fault(sort, format!("there are {}, at most {MANY_MAX} are possible", forms.len()));
        }
        let mut many = BTreeMap::new();
        for form in forms {
            let id = id(&form);
            let subject = format!("{sort} {id:?}");
            self.id(&subject, &id);
            let one = read(self, &subject, form);
            if many.insert(id, one).is_some() {
                self.fault(&subject, "it is there twice: give one of them another id");
            }
        }
        many
    }

    fn parts(&mut self, subject: &str, tables: Vec<PartTable>) -> Vec<Part> {
        if tables.len() > PARTS_MAX {
            self.fault(subject, format!("{} parts are more than {PARTS_MAX}", tables.len()));
        }
        let parts: Vec<Result<Part, String>> = tables.into_iter().map(|table| part(self.catalog, table)).collect();
        parts.into_iter().filter_map(|part| part.map_err(|fault| self.fault(subject, fault)).ok()).collect()
    }

    fn within(&mut self, subject: &str, name: &str, figure: u64, smallest: u64) -> u64 {
        if !(smallest..=GOAL_MAX).contains(&figure) {
            self.fault(subject, format!("{name} is {smallest} to {GOAL_MAX}"));
        }
        figure
    }

    fn xp(&mut self, form: XpForm) -> XpRules {
        let default = XpRules::default();
        let levels = match (form.levels, form.curve) {
            (Some(_), Some(_)) => {
                self.fault("xp", "levels and curve both say where levels begin: keep one of them");
                default.levels
            }
            (Some(levels), None) => levels,
            (None, Some(form)) => {
                let count = form.levels.min(u32::try_from(LEVELS_MAX).unwrap_or(u32::MAX));
                curve(count, form.first, form.more)
            }
            (None, None) => default.levels,
        };
        let rules = XpRules {
            xp_per_match: form.per_match.unwrap_or(default.xp_per_match),
            xp_per_second: form.per_second.unwrap_or(default.xp_per_second),
            seconds_max: form.seconds_max.unwrap_or(default.seconds_max),
            xp_per_win: form.per_win.unwrap_or(default.xp_per_win),
            levels,
        };
        if !rules.is_valid() || rules.levels.first() == Some(&0) || rules.levels.len() >= LEVELS_MAX {
            self.fault("xp", format!("levels ascend from 1 XP on, and there are at most {LEVELS_MAX}"));
        }
        for (name, figure) in [
            ("per_match", rules.xp_per_match),
            ("per_second", rules.xp_per_second),
            ("per_win", rules.xp_per_win),
            ("seconds_max", rules.seconds_max),
        ] {
            if figure > 1_000_000 {
                self.fault("xp", format!("{name} is at most 1000000"));
            }
        }
        rules
    }

    fn levels(&mut self, forms: Vec<LevelForm>, xp: &XpRules) -> BTreeMap<u32, Vec<Part>> {
        let mut rewards = BTreeMap::new();
        for form in forms {
            let subject = format!("level {}", form.level);
            if form.level < 2 || usize::try_from(form.level).is_ok_and(|level| level > xp.levels.len() + 1) {
                self.fault(&subject, format!("levels that are reached are 2 to {}", xp.levels.len() + 1));
            }
            let gives = self.parts(&subject, form.gives);
            if rewards.insert(form.level, gives).is_some() {
                self.fault(&subject, "it is there twice");
            }
        }
        rewards
    }

    fn stats(&mut self, forms: Vec<StatForm>) -> BTreeMap<String, Keep> {
        if forms.len() > STATS_MAX {
            self.fault("stat", format!("at most {STATS_MAX} figures can be kept"));
        }
        let mut stats = BTreeMap::new();
        for form in forms {
            let subject = format!("stat {:?}", form.id);
            if form.id.is_empty() || form.id.len() > ID_BYTES_MAX {
                self.fault(&subject, format!("its id is the figure's name in results, 1 to {ID_BYTES_MAX} bytes"));
            }
            if stats.insert(form.id, form.keep).is_some() {
                self.fault(&subject, "it is there twice");
            }
        }
        stats
    }

    fn measure(&mut self, subject: &str, form: MeasureForm) -> Measure {
        let MeasureForm { matches, wins, seconds, score, stat, queue, keep } = form;
        let mut all = Vec::new();
        all.extend(matches.then_some(What::Matches));
        all.extend(wins.then_some(What::Wins));
        all.extend(seconds.then_some(What::Seconds));
        all.extend(score.then_some(What::Score));
        all.extend(stat.map(What::Stat));
        if all.len() != 1 {
            self.fault(
                subject,
                "counts is one of { matches = true }, { wins = true }, { seconds = true }, \
                                 { score = true } and { stat = \"name\" }, with queue = \"name\" if only one counts",
            );
        }
        Measure { what: all.pop().unwrap_or(What::Matches), queue, keep }
    }

    fn challenge(&mut self, subject: &str, form: ChallengeForm) -> Challenge {
        if !matches!(form.every, Every::Day | Every::Week) {
            self.fault(subject, "every is \"day\" or \"week\"");
        }
        Challenge {
            name: form.name.unwrap_or(form.id),
            every: form.every,
            counts: self.measure(subject, form.counts),
            goal: self.within(subject, "goal", form.goal, 1),
            gives: self.parts(subject, form.gives),
            season_xp: self.within(subject, "season_xp", form.season_xp, 0),
        }
    }

    fn draw(&mut self, subject: &str, form: &DrawForm, every: Every) -> Draw {
        let count = form.count.unwrap_or(3);
        if !(1..=DRAW_MAX).contains(&count) {
            self.fault(subject, format!("count is 1 to {DRAW_MAX}"));
        }
        let begins = form.reset_at.as_deref().map(|text| minute(text).ok_or(text));
        let minute = begins.transpose().unwrap_or_else(|text| {
            self.fault(subject, format!("reset_at {text:?} is not a time: write \"05:00\""));
            None
        });
        Draw { count, per_player: form.per_player, calendar: Calendar { every, minute: minute.unwrap_or(0) } }
    }

    fn achievement(&mut self, subject: &str, form: AchievementForm) -> Achievement {
        Achievement {
            name: form.name.unwrap_or(form.id),
            counts: self.measure(subject, form.counts),
            goal: self.within(subject, "goal", form.goal, 1),
            gives: self.parts(subject, form.gives),
            hidden: form.hidden,
        }
    }

    fn seasons(&mut self, forms: Vec<SeasonForm>) -> BTreeMap<String, Season> {
        let seasons = self.many("season", forms, |form| form.id.clone(), Self::season);
        let mut by_time: Vec<_> = seasons.iter().collect();
        by_time.sort_by_key(|(_, season)| season.from_ms);
        for pair in by_time.windows(2) {
            if pair[0].1.until_ms > pair[1].1.from_ms {
                self.fault(&format!("season {:?}", pair[1].0), "it begins before the one before it ends");
            }
        }
        seasons
    }

    fn season(&mut self, subject: &str, form: SeasonForm) -> Season {
        let mut time = |text: &str| {
            unix_ms(text).unwrap_or_else(|fault| {
                self.fault(subject, fault);
                0
            })
        };
        let (from_ms, until_ms) = (time(&form.from), time(&form.until));
        if from_ms >= until_ms {
            self.fault(subject, "it ends before it begins");
        }
        let tiers: Vec<Tier> = form.tier.into_iter().map(|tier| self.tier(subject, tier)).collect();
        if !tiers.is_sorted_by(|a, b| a.xp < b.xp) {
            self.fault(subject, "the XP of its tiers must ascend");
        }
        if tiers.len() > MANY_MAX {
            self.fault(subject, format!("at most {MANY_MAX} tiers are possible"));
        }
        if form.pass.is_none() && tiers.iter().any(|tier| !tier.paid.is_empty()) {
            self.fault(subject, "a paid track needs a pass: name the item that opens it");
        }
        if let Some(pass) = &form.pass {
            self.pass(subject, pass);
        }
        let claim_ms = form.claim_days.unwrap_or(CLAIM_DAYS).min(3_650) * DAY_MS;
        Season { name: form.name.unwrap_or(form.id), from_ms, until_ms, claim_ms, pass: form.pass, tiers }
    }

    fn tier(&mut self, subject: &str, form: TierForm) -> Tier {
        let xp = self.within(subject, "xp of a tier", form.xp, 1);
        Tier { xp, free: self.parts(subject, form.free), paid: self.parts(subject, form.paid) }
    }

    /// A pass stays with who bought it: otherwise one pass would open the track of many.
    fn pass(&mut self, subject: &str, id: &str) {
        let Some(item) = self.catalog.items.get(id) else {
            return self.fault(subject, format!("there is no item \"{id}\" in the catalog"));
        };
        let leaves = item.tradable || item.consumable || !item.disenchant.is_empty() || item.lasts_s.is_some();
        let is_taken = self.catalog.recipes.values().flat_map(|recipe| &recipe.takes);
        let is_taken = is_taken.into_iter().any(|part| matches!(part, Part::Item { item, .. } if item == id));
        if !item.stacks || leaves || is_taken {
            self.fault(
                subject,
                format!(
                    "the pass \"{id}\" must stack and stay: not tradable, consumable or expiring, \
                                         nothing to take apart, in no recipe"
                ),
            );
        }
    }

    fn unlock(&mut self, subject: &str, form: UnlockForm) -> Unlock {
        let costs = self.parts(subject, form.costs);
        for part in &costs {
            let Part::Item { item, .. } = part else { continue };
            let stack = self.catalog.items.get(item).is_some_and(|item| item.stacks && item.lasts_s.is_none());
            if !stack {
                self.fault(subject, format!("it can cost items that stack and do not expire: \"{item}\" is none"));
            }
        }
        Unlock {
            name: form.name.unwrap_or(form.id),
            needs: form.needs,
            level: form.level,
            costs,
            gives: self.parts(subject, form.gives),
        }
    }

    /// Nodes must be reachable: what they need is there, and not by a way round to themselves.
    fn trees(&mut self, unlocks: &BTreeMap<String, Unlock>) {
        for (id, unlock) in unlocks {
            for need in unlock.needs.iter().filter(|need| !unlocks.contains_key(*need)) {
                self.fault(&format!("unlock {id:?}"), format!("there is no unlock \"{need}\" that it could need"));
            }
        }
        let mut open = BTreeSet::new();
        loop {
            let known = |need: &String| open.contains(need) || !unlocks.contains_key(need);
            let next = unlocks.iter().find(|(id, one)| !open.contains(*id) && one.needs.iter().all(known));
            let Some((id, _)) = next else { break };
            open.insert(id.clone());
        }
        if let Some(id) = unlocks.keys().find(|id| !open.contains(*id)) {
            self.fault(&format!("unlock {id:?}"), "it can never be reached: its needs lead back to itself");
        }
    }

    fn prestige(&mut self, form: PrestigeForm, xp: &XpRules) -> Prestige {
        let last = xp.levels.len() + 1;
        if form.level < 2 || usize::try_from(form.level).is_ok_and(|level| level > last) {
            self.fault("prestige", format!("level is 2 to {last}"));
        }
        if form.max == 0 {
            self.fault("prestige", "max begins at 1");
        }
        Prestige { level: form.level, max: form.max, gives: self.parts("prestige", form.gives) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::catalog;

    const CATALOG: &str = r#"
        version = 1
        [[currency]]
        id = "gold"
        kind = "soft"
        [[item]]
        id = "pass"
        stacks = true
        [[item]]
        id = "sword"
        tradable = true
    "#;

    fn read(text: &str) -> Result<Progression, ProgressionFaults> {
        parse(text, &catalog::file::parse(CATALOG).expect("a catalog"))
    }

    /// Everything in it is wrong.
    const WRONG: &str = r#"
            version = 0
            [xp]
            levels = [5, 5]
            per_win = 2000000
            [daily]
            count = 0
            reset_at = "25:00"
            [prestige]
            level = 99
            max = 0
            [[level]]
            level = 1
            gives = [{ currency = "dust", amount = 1 }]
            [[challenge]]
            id = "A"
            every = "month"
            counts = { wins = true, matches = true }
            goal = 0
            [[achievement]]
            id = "x"
            counts = {}
            goal = 1
            [[achievement]]
            id = "x"
            counts = { stat = "kills" }
            goal = 1
            [[season]]
            id = "s1"
            from = "2026-01-01T00:00:00Z"
            until = "2026-03-01T00:00:00Z"
            pass = "sword"
            tier = [{ xp = 5 }, { xp = 5 }]
            [[season]]
            id = "s2"
            from = "2026-02-01T00:00:00Z"
            until = "soon"
            tier = [{ xp = 5, paid = [{ item = "sword" }] }]
            [[unlock]]
            id = "a"
            needs = ["b"]
            costs = [{ item = "sword" }]
            [[unlock]]
            id = "b"
            needs = ["a", "c"]
        "#;

    #[test]
    fn every_fault_is_named_at_once() {
        let told = read(WRONG).expect_err("faults").to_string();
        for part in [
            "version: it begins at 1",
            "levels ascend",
            "per_win is at most",
            "count is 1 to",
            "\"25:00\" is not a time",
            "prestige: level is 2 to",
            "max begins at 1",
            "level 1: levels that are reached",
            "no currency \"dust\"",
            "challenge \"A\": an id has",
            "every is \"day\" or \"week\"",
            "counts is one of",
            "goal is 1 to",
            "achievement \"x\": it is there twice",
            "the pass \"sword\" must stack and stay",
            "tiers must ascend",
            "\"soon\" is no time",
            "begins before the one before it ends",
            "a paid track needs a pass",
            "items that stack and do not expire",
            "no unlock \"c\"",
            "lead back to itself",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert!(read("version = 1\n[[achievements]]\n").is_err(), "unknown words are mistakes");
    }

    #[test]
    fn a_whole_file_is_read() {
        let rules = read(include_str!("../../../tests/players/progression.toml")).expect("a good file");
        assert_eq!((rules.version, rules.seasons.len(), rules.unlocks.len()), (3, 1, 3));
        assert_eq!(rules.seasons["s1"].reached(250), 2);
        assert_eq!(rules.weekly.calendar, Calendar { every: Every::Week, minute: 300 });
    }
}
