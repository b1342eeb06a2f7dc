//! Counting a result, within the transaction that records it: three statements at most, however many players it has.

use std::collections::BTreeSet;

use protocol::id::PlayerId;

use crate::args;
use crate::core::event::fact;
use crate::core::progression::count::{COUNT_MAX, Counted};
use crate::core::progression::{Count, Keep, Standing, count};
use crate::core::settlement::PlayerSettlement;
use crate::db::{List, StoreError, Tx};
use crate::store::VerifiedResult;
use crate::store::events::tell;

/// By key for each player, so that nobody meets whom this is not about.
const STANDINGS: &str = "\
    SELECT player_id, xp, (SELECT prestige FROM progress WHERE progress.player_id = accounts.player_id),
           (SELECT spent_xp FROM progress WHERE progress.player_id = accounts.player_id),
           (SELECT level FROM progress WHERE progress.player_id = accounts.player_id),
           (SELECT level_max FROM progress WHERE progress.player_id = accounts.player_id)
    FROM accounts WHERE player_id IN blobs($1)";

const RISE: &str = "\
    INSERT INTO progress (player_id, prestige, spent_xp, level, level_max, rules_version)
    SELECT player, prestige, spent, reached, highest, $6
    FROM ROWS(player blob $1, prestige int $2, spent int $3, reached int $4, highest int $5)
    WHERE true
    ON CONFLICT (player_id) DO UPDATE SET prestige = excluded.prestige, spent_xp = excluded.spent_xp,
        level = excluded.level, level_max = excluded.level_max, rules_version = excluded.rules_version";

/// `best` is 1 where the largest stays. $8 is the moment, $9 the version of the rules, $10 the most that is kept.
const COUNT: &str = "\
    INSERT INTO progress_counts (player_id, subject, period, count, goal, reached_at_ms, rules_version, until_ms)
    SELECT player, subject, period, added, goal, CASE WHEN goal > 0 AND added >= goal THEN $8 END, $9,
           nullif(ends, 0)
    FROM ROWS(player blob $1, subject text $2, period int $3, added int $4, goal int $5, ends int $6)
    WHERE true
    ON CONFLICT (player_id, subject, period) DO UPDATE SET
        count = CASE WHEN $7 = 1 AND excluded.count > progress_counts.count THEN excluded.count
                     WHEN $7 = 1 THEN progress_counts.count
                     WHEN progress_counts.count > $10 - excluded.count THEN $10
                     ELSE progress_counts.count + excluded.count END,
        goal = excluded.goal, rules_version = excluded.rules_version, until_ms = excluded.until_ms,
        reached_at_ms = coalesce(progress_counts.reached_at_ms,
            CASE WHEN excluded.goal = 0 THEN NULL
                 WHEN $7 = 1 AND excluded.count >= excluded.goal THEN $8
                 WHEN $7 = 1 AND progress_counts.count >= excluded.goal THEN $8
                 WHEN $7 = 0 AND progress_counts.count + excluded.count >= excluded.goal THEN $8 END)
    RETURNING player_id, subject, period, reached_at_ms";

/// Counts what a result gives to players that have an account, after their XP was written.
pub(crate) async fn record(
    tx: &mut Tx,
    verified: &VerifiedResult,
    settled: &[PlayerSettlement],
    is_known: impl Fn(PlayerId) -> bool,
) -> Result<(), StoreError> {
    let known: Vec<&PlayerSettlement> = settled.iter().filter(|player| is_known(player.result.player_id)).collect();
    let counted = Counted {
        queue: &verified.claims.queue,
        duration_ms: verified.result.ended_at_ms.saturating_sub(verified.result.started_at_ms),
        ended_at_ms: verified.result.ended_at_ms,
        now_ms: verified.now_ms,
    };
    let counts = known.iter().flat_map(|player| {
        let counts = count(&verified.progression, counted, player);
        counts.into_iter().map(|one| (player.result.player_id, one))
    });
    let (best, sums): (Vec<_>, Vec<_>) = counts.partition(|(_, one)| one.keep == Keep::Best);
    add(tx, &sums, verified.progression.version, verified.now_ms).await?;
    add(tx, &best, verified.progression.version, verified.now_ms).await?;
    let earned = known.iter().filter(|player| player.xp_gained > 0).map(|player| player.result.player_id);
    rise(tx, verified, &earned.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()).await
}

/// Adds to rows; all of them are kept in the same way.
pub(super) async fn add(
    tx: &mut Tx,
    counts: &[(PlayerId, Count)],
    rules_version: u32,
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some((_, first)) = counts.first() else { return Ok(()) };
    let players: Vec<_> = counts.iter().map(|(player, _)| *player).collect();
    let subjects: Vec<_> = counts.iter().map(|(_, one)| one.subject.as_str()).collect();
    let periods: Vec<_> = counts.iter().map(|(_, one)| one.period).collect();
    let added: Vec<_> = counts.iter().map(|(_, one)| one.count).collect();
    let goals: Vec<_> = counts.iter().map(|(_, one)| one.goal).collect();
    // NULL is in no list.
    let ends: Vec<_> = counts.iter().map(|(_, one)| one.until_ms.unwrap_or(0)).collect();
    let args = args![
        List(&players),
        List(&subjects),
        List(&periods),
        List(&added),
        List(&goals),
        List(&ends),
        first.keep == Keep::Best,
        now_ms,
        rules_version,
        COUNT_MAX,
    ];
    let counted: Vec<(PlayerId, String, u64, Option<u64>)> = tx.all(COUNT, args).await?;
    // A goal that was reached at this very moment by another result is the same event.
    let reached = counted.iter().filter(|(.., at_ms)| *at_ms == Some(now_ms));
    tell(tx, || reached.map(|(player, goal, period, _)| fact::goal_reached(*player, goal, *period, now_ms)).collect())
        .await
}

type StandingRow = (PlayerId, u64, Option<u32>, Option<u64>, Option<u32>, Option<u32>);

/// Player and where it stands, as it is written.
pub(super) async fn standings(tx: &mut Tx, players: &[PlayerId]) -> Result<Vec<(PlayerId, Standing)>, StoreError> {
    let rows: Vec<StandingRow> = tx.all(STANDINGS, args![List(players)]).await?;
    let standing = |(player, xp, prestige, spent_xp, level, level_max): StandingRow| {
        let (prestige, spent_xp) = (prestige.unwrap_or(0), spent_xp.unwrap_or(0));
        (player, Standing { xp, prestige, spent_xp, level: level.unwrap_or(0), level_max: level_max.unwrap_or(0) })
    };
    Ok(rows.into_iter().map(standing).collect())
}

/// Writes the levels of those who have risen: they keep them whatever curve comes.
async fn rise(tx: &mut Tx, verified: &VerifiedResult, players: &[PlayerId]) -> Result<(), StoreError> {
    if players.is_empty() {
        return Ok(());
    }
    let rules = &verified.progression;
    let now = standings(tx, players).await?.into_iter().map(|(player, before)| (player, before, before.now(&rules.xp)));
    let changed: Vec<_> = now.filter(|(_, before, now)| before != now).collect();
    let higher = changed.iter().filter(|(_, before, now)| now.level > before.level.max(1));
    let level = |(player, _, now): &(PlayerId, Standing, Standing)| {
        fact::level_reached(*player, now.level, now.prestige, verified.now_ms)
    };
    tell(tx, || higher.map(level).collect()).await?;
    let risen: Vec<_> = changed.into_iter().map(|(player, _, now)| (player, now)).collect();
    write(tx, &risen, rules.version).await
}

/// Writes where players stand.
pub(super) async fn write(
    tx: &mut Tx,
    standings: &[(PlayerId, Standing)],
    rules_version: u32,
) -> Result<(), StoreError> {
    if standings.is_empty() {
        return Ok(());
    }
    let players: Vec<_> = standings.iter().map(|(player, _)| *player).collect();
    let prestiges: Vec<_> = standings.iter().map(|(_, one)| one.prestige).collect();
    let spent: Vec<_> = standings.iter().map(|(_, one)| one.spent_xp).collect();
    let levels: Vec<_> = standings.iter().map(|(_, one)| one.level).collect();
    let highest: Vec<_> = standings.iter().map(|(_, one)| one.level_max).collect();
    let args = args![List(&players), List(&prestiges), List(&spent), List(&levels), List(&highest), rules_version];
    tx.execute(RISE, args).await.map(drop)
}
