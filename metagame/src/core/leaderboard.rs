//! Leaderboards as data: what is ranked, how scores are kept, when a board begins anew.
//!
//! A file names the boards (`muster metagame --leaderboards FILE`, TOML). Besides these each queue has a board of its own
//! name, sorted by rating, which needs no words.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::certificate::{Participation, PlayerResult};
use serde::Deserialize;

use super::calendar::{Calendar, Every};
use super::rating::Rating;
use crate::core::ranking::Ties;

/// Largest score, and with a minus the smallest: what JSON and Redis, both of which count in doubles, keep exactly.
pub const SCORE_MAX: i64 = (1 << 53) - 1;
/// A rating's score is kept in millionths.
pub const RATING_SCALE: f64 = 1_000_000.0;
/// Most boards of a file.
pub const BOARDS_MAX: usize = 256;
/// Most regions of a board.
pub const REGIONS_MAX: usize = 32;

/// Which scores are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// More is better.
    #[default]
    Descending,
    /// Less is better, as with lap times.
    Ascending,
}

/// What becomes of a score when another one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The better one stays.
    #[default]
    Best,
    /// The newer one stays.
    Last,
    /// They are added.
    Sum,
}

/// What a board takes its scores from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Whoever may write: servers, and clients where the board says so.
    Writes,
    /// The rating in a queue.
    Rating(String),
    /// Results.
    Result {
        /// The name of one of the game's figures; without one it is the player's score.
        stat: Option<String>,
        /// Of this queue alone.
        queue: Option<String>,
    },
}

/// A leaderboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// Its name in addresses.
    pub id: String,
    /// Which scores are better.
    pub order: Order,
    /// What becomes of a score when another one comes.
    pub keep: Keep,
    /// How equal scores are ranked.
    pub ties: Ties,
    /// When it begins anew.
    pub calendar: Calendar,
    /// Regions that have a list of their own; index 0 here is region 1 of entries.
    pub regions: Vec<String>,
    /// Whether players may write scores of their own.
    pub client_writable: bool,
    /// Smallest and largest score that is taken.
    pub bounds: (i64, i64),
    /// Where scores come from.
    pub source: Source,
}

impl Board {
    /// The board that a queue has of itself: its players by rating.
    pub fn of_queue(queue: &str) -> Self {
        Self {
            id: queue.to_owned(),
            order: Order::Descending,
            keep: Keep::Last,
            ties: Ties::First,
            calendar: Calendar::default(),
            regions: Vec::new(),
            client_writable: false,
            bounds: (-SCORE_MAX, SCORE_MAX),
            source: Source::Rating(queue.to_owned()),
        }
    }

    /// The score as it is sorted: smaller is better.
    pub fn sort(&self, score: i64) -> i64 {
        match self.order {
            Order::Descending => -score,
            Order::Ascending => score,
        }
    }

    /// The score of what is sorted like this.
    pub fn score(&self, sort: i64) -> i64 {
        self.sort(sort)
    }

    /// Number of a region, from 1; 0 if it has no list of its own.
    pub fn region(&self, name: &str) -> usize {
        self.regions.iter().position(|region| region == name).map_or(0, |index| index + 1)
    }

    /// Name of a region's number; empty for 0.
    pub fn region_name(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.regions.get(index)).map_or("", String::as_str)
    }

    /// Whether it is sorted by a rating, whose scores are kept in millionths.
    pub fn is_rating(&self) -> bool {
        matches!(self.source, Source::Rating(_))
    }

    /// One score of two that came for the same player, `later` after `earlier`.
    pub fn merge(&self, earlier: i64, later: i64) -> i64 {
        match self.keep {
            Keep::Best if self.sort(earlier) <= self.sort(later) => earlier,
            Keep::Best | Keep::Last => later,
            Keep::Sum => earlier.saturating_add(later).clamp(-SCORE_MAX, SCORE_MAX),
        }
    }

    /// What a result gives for a player of a match in `queue`; only who stayed to the end has a score.
    pub fn score_of(&self, queue: &str, player: &PlayerResult) -> Option<i64> {
        let Source::Result { stat, queue: wanted } = &self.source else { return None };
        let counts = player.participation == Participation::Played && wanted.as_deref().is_none_or(|of| of == queue);
        let score = match stat {
            Some(stat) => player.stats.get(stat).copied(),
            None => Some(player.score),
        };
        score.filter(|score| counts && (self.bounds.0..=self.bounds.1).contains(score))
    }
}

/// A rating as a board keeps it.
pub fn rating_score(rating: Rating) -> i64 {
    // Ratings are at most 1,000 from zero.
    (rating.score() * RATING_SCALE).round() as i64
}

/// All boards.
#[derive(Debug, Clone, Default)]
pub struct Boards {
    named: BTreeMap<String, Arc<Board>>,
}

/// A file of leaderboards that cannot be used: one sentence for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the leaderboards cannot be used:\n  {}", .0.join("\n  "))]
pub struct BoardsFault(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    board: Vec<BoardForm>,
}

/// A board as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardForm {
    id: String,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    ties: Ties,
    #[serde(default)]
    reset: Every,
    /// "HH:MM" UTC.
    #[serde(default)]
    reset_at: Option<String>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    client_writable: bool,
    #[serde(default)]
    score_min: Option<i64>,
    #[serde(default)]
    score_max: Option<i64>,
    #[serde(default)]
    source: Option<SourceForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceForm {
    #[serde(default)]
    rating: Option<String>,
    #[serde(default)]
    stat: Option<String>,
    #[serde(default)]
    score: bool,
    #[serde(default)]
    queue: Option<String>,
}

impl Boards {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`BoardsFault`] with every fault there is, each saying what to write.
    pub fn parse(text: &str) -> Result<Self, BoardsFault> {
        let file: FileForm = toml::from_str(text).map_err(|error| BoardsFault(vec![error.to_string()]))?;
        let mut faults = Vec::new();
        if file.board.len() > BOARDS_MAX {
            faults.push(format!("there are {} boards, at most {BOARDS_MAX} are possible", file.board.len()));
        }
        let mut named = BTreeMap::new();
        for form in file.board {
            match board(form) {
                Ok(board) => {
                    if let Some(twice) = named.insert(board.id.clone(), Arc::new(board)) {
                        faults.push(format!("board {:?} is there twice: give one of them another id", twice.id));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self { named }) } else { Err(BoardsFault(faults)) }
    }

    /// The board with this id: one of the file, or that of a queue.
    pub fn find(&self, id: &str) -> Arc<Board> {
        self.named.get(id).cloned().unwrap_or_else(|| Arc::new(Board::of_queue(id)))
    }

    /// Whether the file names it.
    pub fn is_named(&self, id: &str) -> bool {
        self.named.contains_key(id)
    }

    /// Those of the file.
    pub fn named(&self) -> impl Iterator<Item = &Arc<Board>> {
        self.named.values()
    }

    /// Those that take ratings of a queue: the queue's own, unless the file has one of that id, and those of the file.
    pub fn of_rating(&self, queue: &str) -> Vec<Arc<Board>> {
        let own = (!self.is_named(queue)).then(|| Arc::new(Board::of_queue(queue)));
        let named = self.named.values().filter(|board| board.source == Source::Rating(queue.to_owned()));
        own.into_iter().chain(named.cloned()).collect()
    }
}

fn board(form: BoardForm) -> Result<Board, String> {
    let id = form.id;
    let plain = |text: &str| {
        (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if !plain(&id) {
        return Err(format!("board {id:?}: an id has 1 to 64 letters, digits, '-', '_' or '.'"));
    }
    let fault = |what: String| format!("board {id:?}: {what}");
    let minute = match form.reset_at.as_deref() {
        None => 0,
        Some(_) if form.reset == Every::Never => {
            return Err(fault("reset_at needs a reset: day, week or month".into()));
        }
        Some(text) => minute(text).ok_or_else(|| fault(format!("reset_at {text:?} is not a time: write \"05:00\"")))?,
    };
    if form.regions.len() > REGIONS_MAX || !form.regions.iter().all(|region| plain(region)) {
        return Err(fault(format!("regions are at most {REGIONS_MAX} names of letters, digits, '-', '_' or '.'")));
    }
    let bounds = (form.score_min.unwrap_or(-SCORE_MAX), form.score_max.unwrap_or(SCORE_MAX));
    if bounds.0 > bounds.1 || bounds.0 < -SCORE_MAX || bounds.1 > SCORE_MAX {
        return Err(fault(format!("score_min and score_max must ascend within ±{SCORE_MAX}")));
    }
    let source = source(form.source).map_err(&fault)?;
    if source != Source::Writes && form.client_writable {
        return Err(fault("a board that takes its scores from results or ratings cannot be client_writable".into()));
    }
    if matches!(source, Source::Rating(_)) && (form.keep != Keep::Last || form.order != Order::Descending) {
        return Err(fault("a board of ratings needs keep = \"last\", and more is better".into()));
    }
    Ok(Board {
        order: form.order,
        keep: form.keep,
        ties: form.ties,
        calendar: Calendar { every: form.reset, minute },
        regions: form.regions,
        client_writable: form.client_writable,
        bounds,
        source,
        id,
    })
}

fn source(form: Option<SourceForm>) -> Result<Source, String> {
    match form {
        None => Ok(Source::Writes),
        Some(SourceForm { rating: Some(queue), stat: None, score: false, queue: None }) => Ok(Source::Rating(queue)),
        Some(SourceForm { rating: None, stat: Some(stat), score: false, queue }) => {
            Ok(Source::Result { stat: Some(stat), queue })
        }
        Some(SourceForm { rating: None, stat: None, score: true, queue }) => Ok(Source::Result { stat: None, queue }),
        Some(_) => {
            Err("a source is { rating = \"queue\" }, { stat = \"name\" } or { score = true }, the latter two with \
                        queue = \"queue\" if only one queue counts"
                .into())
        }
    }
}

/// Minutes after midnight that "HH:MM" says.
pub(crate) fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u32>().ok())?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[board]]
        id = "weekly-kills"
        keep = "sum"
        reset = "week"
        reset_at = "05:00"
        regions = ["eu", "us"]
        source = { stat = "kills", queue = "arena-4v4" }

        [[board]]
        id = "lap"
        order = "ascending"
        ties = "first"
        client_writable = true
        score_min = 1
    "#;

    #[test]
    fn a_file_is_read() {
        let boards = Boards::parse(FILE).expect("a good file");
        let kills = boards.find("weekly-kills");
        assert_eq!(kills.calendar, Calendar { every: Every::Week, minute: 300 });
        assert_eq!((kills.region("us"), kills.region("mars"), kills.region_name(2)), (2, 0, "us"));
        let lap = boards.find("lap");
        assert_eq!((lap.sort(7), lap.merge(7, 9), lap.merge(9, 7)), (7, 7, 7));
        assert_eq!((kills.sort(7), kills.merge(7, 9)), (-7, 16));
        assert!(boards.find("duel").is_rating() && !boards.is_named("duel"));
    }

    #[test]
    fn faults_are_told_all_at_once_and_say_what_to_do() {
        let file = r#"
            board = [
                { id = "a b" }, { id = "x", reset_at = "05:00" }, { id = "y", reset = "day", reset_at = "24:00" },
                { id = "z", score_min = 2, score_max = 1 }, { id = "w", source = { rating = "q", stat = "s" } },
                { id = "v", client_writable = true, source = { score = true } }, { id = "u", source = { rating = "q" } },
                { id = "t" }, { id = "t" },
            ]
        "#;
        let BoardsFault(faults) = Boards::parse(file).expect_err("all wrong");
        assert_eq!(faults.len(), 8, "{faults:#?}");
        assert!(Boards::parse("[[board]]\nid = \"a\"\ncolour = 1").is_err(), "unknown words are mistakes");
    }

    #[test]
    fn a_rating_is_on_its_queues_board_and_on_those_that_name_it() {
        let boards = Boards::parse("[[board]]\nid = \"best\"\nkeep = \"last\"\nsource = { rating = \"duel\" }");
        let boards = boards.expect("a good file");
        let ids: Vec<_> = boards.of_rating("duel").iter().map(|board| board.id.clone()).collect();
        assert_eq!(ids, ["duel", "best"]);
        assert_eq!(boards.of_rating("arena").len(), 1);
        assert_eq!(rating_score(Rating { rating: 25.0, uncertainty: 8.0 }), 1_000_000);
    }
}
