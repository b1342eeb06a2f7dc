//! Ranks in Redis: the current season of each board in sorted sets that all instances share.
//!
//! Redis may lose them, be flushed, come back older than it was, or belong to a database that was set back: what is there counts
//! only in one epoch and once it was read whole in it. One instance at a time, by a lease, follows the table for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::PlayerId;

use super::scripts::{ADVANCE, APPLY, LEASE, PAGE, READY};
use crate::core::leaderboard::{Board, Boards};
use crate::core::ranking::{Page, Place, Ranked, Start, Ties};
use crate::metrics;
use crate::redis::{Redis, RedisError, Script, Value, cmd, pipe};
use crate::store::{Changed, Changes, EntryRow, Store, StoreError};

/// The part's name in metrics.
const PART: &str = "ranks";
/// How long the one that follows the table does so before another may.
const LEASE_MS: u64 = 3_000;
/// Rows of one script: it runs for some milliseconds, in which Redis does nothing else.
const ROWS: usize = 256;
/// Most seasons that wait to be read into Redis.
const WANTED_MAX: usize = 1_024;

/// What Redis said.
pub(super) enum Found {
    /// The page; `None` if it begins around somebody who is not on the board.
    Yes(Option<Page>),
    /// It is not there, or Redis is not.
    No,
}

/// The sorted sets; cheap to clone.
#[derive(Clone)]
pub(super) struct Sets(Arc<Inner>);

struct Inner {
    redis: Redis,
    store: Store,
    /// Who this instance is in the lease.
    name: String,
    scripts: Scripts,
    /// Seasons that were asked for and are not there.
    wanted: Mutex<BTreeMap<(String, u64), Arc<Board>>>,
}

struct Scripts {
    apply: Script,
    page: Script,
    lease: Script,
    advance: Script,
    ready: Script,
}

/// Why Redis was not brought up to date this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetsError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sets {
    pub(super) fn new(redis: Redis, store: Store) -> Self {
        let scripts = Scripts {
            apply: Script::new(APPLY),
            page: Script::new(PAGE),
            lease: Script::new(LEASE),
            advance: Script::new(ADVANCE),
            ready: Script::new(READY),
        };
        let name = hex::encode(service::random::bytes::<8>());
        Self(Arc::new(Inner { redis, store, name, scripts, wanted: Mutex::default() }))
    }

    fn key(&self, name: &str) -> String {
        self.0.redis.key(&format!("ranks:{name}"))
    }

    fn season_key(&self, board: &str, season: u64, what: &str) -> String {
        self.key(&format!("{board}:{season}:{what}"))
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u64), Arc<Board>>> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a season read into Redis soon.
    pub(super) fn want(&self, board: &Arc<Board>, season: u64) {
        let mut wanted = self.wanted();
        if wanted.len() < WANTED_MAX {
            wanted.insert((board.id.clone(), season), Arc::clone(board));
        }
    }

    /// Part of a board.
    pub(super) async fn page(
        &self,
        board: &Arc<Board>,
        season: u64,
        start: Start,
        limit: usize,
        region: usize,
    ) -> Found {
        let (hash, set) = (self.season_key(&board.id, season, "h"), self.season_key(&board.id, season, "z:"));
        let mut call = self.0.scripts.page.key(self.key("state"));
        call.key(self.key("ready")).key(hash).key(format!("{set}{region}"));
        call.arg(field(&board.id, season)).arg(limit);
        match start {
            Start::At(position) => call.arg("at").arg(position),
            Start::After(place) => call.arg("after").arg(place.sort).arg(&member(&place)[..]),
            Start::Around(player, before) => call.arg("around").arg(&player.to_bytes()[..]).arg(before),
        };
        match self.0.redis.script::<Vec<Value>>(PART, &call).await {
            Ok(answer) => match read_page(board.ties, &answer) {
                Some(found) => found,
                None => {
                    self.want(board, season);
                    Found::No
                }
            },
            Err(_) => Found::No,
        }
    }

    /// Takes in what changed, where it is in Redis. What fails is found again by following the table.
    pub(super) async fn apply(&self, boards: &Boards, changed: &[Changed]) {
        if let Err(error) = self.try_apply(boards, changed).await {
            tracing::debug!(%error, "redis did not take in ranks");
        }
    }

    async fn try_apply(&self, boards: &Boards, changed: &[Changed]) -> Result<(), RedisError> {
        let mut seasons = BTreeMap::<(&str, u64), Vec<&EntryRow>>::new();
        for one in changed {
            seasons.entry((&one.board, one.season)).or_default().push(&one.row);
        }
        for ((id, season), rows) in seasons {
            self.apply_rows(&boards.find(id), season, &rows).await?;
        }
        Ok(())
    }

    async fn apply_rows(&self, board: &Board, season: u64, rows: &[&EntryRow]) -> Result<(), RedisError> {
        for rows in rows.chunks(ROWS) {
            let mut call = self.0.scripts.apply.key(self.key("ready"));
            call.key(self.season_key(&board.id, season, "h"));
            call.arg(field(&board.id, season)).arg(self.season_key(&board.id, season, "z:"));
            for row in rows {
                let entry = row.entry(board);
                let place = Place { sort: board.sort(entry.score), since_ms: entry.since_ms, player: entry.player };
                let region = if entry.removed { "-".to_owned() } else { entry.region.to_string() };
                call.arg(&entry.player.to_bytes()[..]).arg(format!("{:016}", entry.version));
                call.arg(&member(&place)[..]).arg(place.sort).arg(region);
            }
            self.0.redis.script::<u64>(PART, &call).await?;
        }
        Ok(())
    }

    /// Brings Redis up to date, if it is this instance's turn: follows the table, reads what is wanted, forgets what is over.
    pub(super) async fn keep(&self, boards: &Boards) -> Result<(), SetsError> {
        let mut lease = self.0.scripts.lease.key(self.key("lease"));
        lease.arg(&self.0.name).arg(LEASE_MS);
        if self.0.redis.script::<u64>(PART, &lease).await? == 0 {
            // Whoever holds it learns from its own readers what is wanted; what is not there for ours stays noted.
            return self.note_wanted().await;
        }
        let epoch = self.follow(boards).await?;
        self.forget_past(boards).await?;
        self.fetch_wanted(boards).await?;
        // What is wanted again meanwhile is for the next turn.
        let mut wanted = std::mem::take(&mut *self.wanted());
        while let Some(((_, season), board)) = wanted.pop_first() {
            if let Err(error) = self.build(&board, season, &epoch, &lease).await {
                self.want(&board, season);
                self.wanted().append(&mut wanted);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tells the one that holds the lease what this instance's readers want.
    async fn note_wanted(&self) -> Result<(), SetsError> {
        let wanted: Vec<String> = self.wanted().keys().map(|(board, season)| field(board, *season)).collect();
        if !wanted.is_empty() {
            self.0.redis.query::<u64>(PART, cmd("SADD").arg(self.key("wanted")).arg(wanted)).await?;
            self.wanted().clear();
        }
        Ok(())
    }

    /// Takes over what others want.
    async fn fetch_wanted(&self, boards: &Boards) -> Result<(), SetsError> {
        let wanted: Vec<String> = self.0.redis.query(PART, cmd("SPOP").arg(self.key("wanted")).arg(WANTED_MAX)).await?;
        for text in wanted {
            if let Some((id, season)) = text.rsplit_once('|').and_then(|(id, season)| Some((id, season.parse().ok()?)))
            {
                let mut own = self.wanted();
                own.entry((id.to_owned(), season)).or_insert_with(|| boards.find(id));
            }
        }
        Ok(())
    }

    /// Takes in what changed since Redis was last brought up to date; the epoch that holds now.
    async fn follow(&self, boards: &Boards) -> Result<String, SetsError> {
        let state: (Option<String>, Option<u64>) =
            self.0.redis.query(PART, cmd("HMGET").arg(self.key("state")).arg("epoch").arg("position")).await?;
        let (Some(epoch), Some(mut position)) = state else { return self.begin_epoch().await };
        loop {
            let Changes::Rows { rows, next, more } = self.0.store.board_changes(position).await? else {
                return self.begin_epoch().await;
            };
            self.try_apply(boards, &rows).await?;
            if next != position {
                let mut advance = self.0.scripts.advance.key(self.key("state"));
                advance.arg(&epoch).arg(next);
                self.0.redis.script::<u64>(PART, &advance).await?;
            }
            position = next;
            if !more {
                return Ok(epoch);
            }
        }
    }

    /// From now on nothing that is in Redis counts; the table is followed from here.
    async fn begin_epoch(&self) -> Result<String, SetsError> {
        let position = self.0.store.board_position().await?;
        let epoch = hex::encode(service::random::bytes::<8>());
        let state = self.key("state");
        let commands = pipe()
            .atomic()
            .cmd("DEL")
            .arg(&state)
            .ignore()
            .cmd("HSET")
            .arg(&state)
            .arg("epoch")
            .arg(&epoch)
            .arg("position")
            .arg(position)
            .ignore()
            .clone();
        self.0.redis.pipeline::<()>(PART, &commands).await?;
        tracing::info!("ranks in redis begin anew");
        Ok(epoch)
    }

    /// Nothing that is in Redis counts any more.
    pub(super) async fn forget_all(&self) {
        if let Err(error) = self.0.redis.query::<u64>(PART, cmd("DEL").arg(self.key("state"))).await {
            tracing::warn!(%error, "ranks in redis cannot be forgotten now");
        }
    }

    /// Reads a season from the table into Redis.
    async fn build(
        &self,
        board: &Arc<Board>,
        season: u64,
        epoch: &str,
        lease: &crate::redis::ScriptInvocation<'_>,
    ) -> Result<(), SetsError> {
        let begun = Instant::now();
        let (ready, field) = (self.key("ready"), field(&board.id, season));
        let redis = &self.0.redis;
        if redis.query::<Option<String>>(PART, cmd("HGET").arg(&ready).arg(&field)).await?.as_deref() == Some(epoch) {
            return Ok(());
        }
        redis.query::<u64>(PART, cmd("HDEL").arg(&ready).arg(&field)).await?;
        self.unlink(board, season).await?;
        redis.query::<u64>(PART, cmd("HSET").arg(&ready).arg(&field).arg("building")).await?;
        let mut after = PlayerId::from_bytes([0; 16]);
        loop {
            let page = self.0.store.entries_after(&board.id, season, after).await?;
            let Some(last) = page.last() else { break };
            after = last.player;
            self.apply_rows(board, season, &page.iter().collect::<Vec<_>>()).await?;
            if redis.script::<u64>(PART, lease).await? == 0 {
                // Somebody else's turn: it is told with what else is wanted.
                self.want(board, season);
                return Ok(());
            }
        }
        let mut declare = self.0.scripts.ready.key(self.key("state"));
        declare.key(&ready).arg(&field).arg(epoch);
        if redis.script::<u64>(PART, &declare).await? == 0 {
            // Redis was flushed meanwhile: once more, in the next epoch.
            self.want(board, season);
            return Ok(());
        }
        metrics::ranks_loaded("redis", begun.elapsed());
        Ok(())
    }

    async fn unlink(&self, board: &Board, season: u64) -> Result<(), SetsError> {
        let sets = (0..=board.regions.len()).map(|region| self.season_key(&board.id, season, &format!("z:{region}")));
        let mut keys: Vec<String> = sets.collect();
        keys.push(self.season_key(&board.id, season, "h"));
        self.0.redis.query::<u64>(PART, cmd("UNLINK").arg(keys)).await?;
        Ok(())
    }

    /// Removes seasons that are over.
    async fn forget_past(&self, boards: &Boards) -> Result<(), SetsError> {
        let now_ms = service::clock::unix_ms();
        let fields: BTreeSet<String> = self.0.redis.query(PART, cmd("HKEYS").arg(self.key("ready"))).await?;
        for field in fields {
            let Some((id, season)) = field.rsplit_once('|') else { continue };
            let board = boards.find(id);
            let Ok(season) = season.parse::<u64>() else { continue };
            if season < board.calendar.at(now_ms).number {
                self.0.redis.query::<u64>(PART, cmd("HDEL").arg(self.key("ready")).arg(&field)).await?;
                self.unlink(&board, season).await?;
            }
        }
        Ok(())
    }
}

/// A season in `ready`. Ids of boards have no bar in them.
fn field(board: &str, season: u64) -> String {
    format!("{board}|{season}")
}

/// What equals are sorted by.
fn member(place: &Place) -> [u8; 24] {
    let mut member = [0; 24];
    member[..8].copy_from_slice(&place.since_ms.to_be_bytes());
    member[8..].copy_from_slice(&place.player.to_bytes());
    member
}

fn read_member(sort: i64, member: &[u8]) -> Option<Place> {
    let (since, player) = member.split_at_checked(8)?;
    let player = PlayerId::from_bytes(player.try_into().ok()?);
    Some(Place { sort, since_ms: u64::from_be_bytes(since.try_into().ok()?), player })
}

/// The answer of [`PAGE`]; `None` where the season is not there.
fn read_page(ties: Ties, answer: &[Value]) -> Option<Found> {
    let int = |value: &Value| match value {
        Value::Int(int) => Some(*int),
        _ => None,
    };
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) => Some(text.clone().into_bytes()),
        _ => None,
    };
    let total = int(answer.first()?)?;
    if total == -2 {
        return Some(Found::Yes(None));
    }
    let (total, from) = (u64::try_from(total).ok()?, u64::try_from(int(answer.get(1)?)?).ok()?);
    let better = u64::try_from(int(answer.get(2)?)?).ok()?;
    let mut entries: Vec<Ranked> = Vec::new();
    for (index, one) in answer[3..].chunks_exact(3).enumerate() {
        // Redis writes scores as numbers with 17 digits, which keep every score.
        let sort = String::from_utf8(bytes(&one[1])?).ok()?.parse::<f64>().ok()? as i64;
        let place = read_member(sort, &bytes(&one[0])?)?;
        let region = String::from_utf8(bytes(&one[2])?).ok()?.parse().unwrap_or(0);
        let position = from + index as u64;
        let rank = match entries.last() {
            Some(last) if ties == Ties::Shared && last.place.sort == sort => last.rank,
            None if ties == Ties::Shared => better + 1,
            _ => position + 1,
        };
        entries.push(Ranked { rank, place, region });
    }
    Some(Found::Yes(Some(Page { total, entries })))
}

/// How often ranks are brought up to date.
pub(super) const EVERY: Duration = Duration::from_millis(500);
