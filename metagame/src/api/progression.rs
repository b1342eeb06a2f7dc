//! Levels, seasons, challenges, achievements, unlock trees, prestige, and figures over all matches.

mod bodies;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use super::shop::{PartBody, part_body};
use crate::app::App;
use crate::auth::Caller;
use crate::core::calendar::Every;
use crate::core::catalog::Part;
use crate::core::ledger::LedgerFault;
use crate::core::progression::claim::NoTerms;
use crate::core::progression::{Claim, Progression, Season, Standing, Track};
use crate::extract::{Body, Named};
use crate::problem::{Problem, UsualProblems};
use crate::store::progression::{Claimed, CountRow, Prestiged, Reached, Unlocked};
use crate::tickets::unknown_player;
use bodies::{
    AchievementBody, AchievementsBody, ChallengeBody, ChallengesBody, ClaimChallengeBody, ClaimTierBody, ClaimedBody,
    LevelBody, PrestigeBody, PrestigedBody, ProgressionBody, SeasonBody, SeasonLineBody, SeasonsBody, StatsBody,
    TierBody, UnlockBody, UnlockedBody, UnlocksBody,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(progression))
        .routes(routes!(claim_level))
        .routes(routes!(challenges))
        .routes(routes!(claim_challenge))
        .routes(routes!(achievements))
        .routes(routes!(claim_achievement))
        .routes(routes!(seasons))
        .routes(routes!(season))
        .routes(routes!(claim_tier))
        .routes(routes!(unlocks))
        .routes(routes!(unlock))
        .routes(routes!(prestige))
        .routes(routes!(own_stats))
        .routes(routes!(stats))
}

/// The id in the path, of something that the rules name.
struct RuleId(String);

impl std::str::FromStr for RuleId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match (1..=48).contains(&text.len()) && text.bytes().all(good) {
            true => Ok(Self(text.to_owned())),
            false => Err("an id has 1 to 48 letters, digits, '-', '_' or '.'"),
        }
    }
}

fn now_ms() -> u64 {
    service::clock::unix_ms()
}

/// Where the caller stands
#[utoipa::path(get, path = "/v1/progression", tag = "progression", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = ProgressionBody)))]
async fn progression(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let (rules, now_ms) = (&app.progression, now_ms());
    let standing = app.store.standing(caller.player_id).await?.ok_or_else(unknown_player)?.now(&rules.xp);
    let reached = app.store.reached(caller.player_id, "level", "level", None, now_ms).await?;
    let level = |(level, gives): (&u32, &Vec<Part>)| LevelBody {
        level: *level,
        gives: parts(gives),
        is_reached: standing.level_max >= *level,
        is_claimed: reached.claims.contains(&Claim::Level(*level).name()),
    };
    Ok(private(Json(body(rules, standing, rules.level_rewards.iter().map(level).collect(), now_ms))))
}

fn body(rules: &Progression, standing: Standing, levels: Vec<LevelBody>, now_ms: u64) -> ProgressionBody {
    let since = standing.xp.saturating_sub(standing.spent_xp);
    let begins = rules.xp.begins_at(standing.level);
    let next = rules.xp.begins_at(standing.level.saturating_add(1));
    ProgressionBody {
        rules_version: rules.version,
        xp: standing.xp,
        level: standing.level,
        level_xp: since.saturating_sub(begins),
        next_level_xp: (next > begins).then(|| next - begins),
        prestige: standing.prestige,
        can_prestige: standing.prestige(rules).is_some(),
        levels,
        season: rules.season_at(now_ms).map(|(id, _)| id.to_owned()),
    }
}

/// Claim what a level gives
#[utoipa::path(post, path = "/v1/progression/levels/{level}/claim", tag = "progression", security(("access_token" = [])),
    params(("level" = u32, Path)),
    responses(UsualProblems, (status = 200, body = ClaimedBody)))]
async fn claim_level(
    State(app): State<App>,
    caller: Caller,
    Named(level): Named<u32>,
) -> Result<Json<ClaimedBody>, Problem> {
    claim(&app, caller, Claim::Level(level)).await
}

/// Challenges of today and of this week
///
/// And those of the last 30 days that are reached and not claimed.
#[utoipa::path(get, path = "/v1/progression/challenges", tag = "progression", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = ChallengesBody)))]
async fn challenges(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let (rules, now_ms, player) = (&app.progression, now_ms(), caller.player_id);
    let reached = app.store.reached(player, "challenge", "challenge", None, now_ms).await?;
    let mut challenges = Vec::new();
    for every in [Every::Day, Every::Week] {
        let (period, drawn) = rules.drawn(every, player, now_ms);
        challenges.extend(drawn.into_iter().filter_map(|(id, _)| challenge(rules, id, period.number, &reached)));
    }
    for row in &reached.counts {
        let is_there = challenges.iter().any(|one| one.challenge == row.id && one.period == row.period);
        let old = challenge(rules, &row.id, row.period, &reached).filter(|_| !is_there);
        challenges.extend(old.filter(|one| one.is_reached && !one.is_claimed));
    }
    Ok(private(Json(ChallengesBody { challenges })))
}

fn challenge(rules: &Progression, id: &str, period: u64, reached: &Reached) -> Option<ChallengeBody> {
    let one = rules.challenges.get(id)?;
    let row = reached.counts.iter().find(|row| row.id == id && row.period == period);
    let count = row.map_or(0, |row| row.count);
    Some(ChallengeBody {
        challenge: id.to_owned(),
        name: one.name.clone(),
        every: if one.every == Every::Week { "week" } else { "day" },
        period,
        ends_at_ms: rules.draw(one.every).calendar.period(period).ends_at_ms.unwrap_or(0),
        count,
        goal: one.goal,
        is_reached: count >= one.goal || row.is_some_and(|row| row.reached_at_ms.is_some()),
        is_claimed: reached.claims.contains(&Claim::Challenge { id: id.to_owned(), period }.name()),
        gives: parts(&one.gives),
        season_xp: one.season_xp,
    })
}

/// Claim what a challenge gives
///
/// For 30 days after its day or week. Sent again it is answered as before.
#[utoipa::path(post, path = "/v1/progression/challenges/{id}/claim", tag = "progression", security(("access_token" = [])),
    params(("id" = String, Path)), request_body = ClaimChallengeBody,
    responses(UsualProblems, (status = 200, body = ClaimedBody)))]
async fn claim_challenge(
    State(app): State<App>,
    caller: Caller,
    Named(RuleId(id)): Named<RuleId>,
    Body(body): Body<ClaimChallengeBody>,
) -> Result<Json<ClaimedBody>, Problem> {
    claim(&app, caller, Claim::Challenge { id, period: body.period }).await
}

/// Own achievements
#[utoipa::path(get, path = "/v1/progression/achievements", tag = "progression", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = AchievementsBody)))]
async fn achievements(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let reached = app.store.reached(caller.player_id, "achievement", "achievement", None, now_ms()).await?;
    let body = |(id, one): (&String, &crate::core::progression::Achievement)| {
        let row = reached.counts.iter().find(|row| row.id == *id);
        let unlocked_at_ms = row.and_then(|row| row.reached_at_ms);
        (!one.hidden || unlocked_at_ms.is_some()).then(|| AchievementBody {
            achievement: id.clone(),
            name: one.name.clone(),
            count: row.map_or(0, |row| row.count),
            goal: one.goal,
            unlocked_at_ms,
            is_claimed: reached.claims.contains(&Claim::Achievement(id.clone()).name()),
            gives: parts(&one.gives),
        })
    };
    let achievements = app.progression.achievements.iter().filter_map(body).collect();
    Ok(private(Json(AchievementsBody { achievements })))
}

/// Claim what an achievement gives
#[utoipa::path(post, path = "/v1/progression/achievements/{id}/claim", tag = "progression", security(("access_token" = [])),
    params(("id" = String, Path)),
    responses(UsualProblems, (status = 200, body = ClaimedBody)))]
async fn claim_achievement(
    State(app): State<App>,
    caller: Caller,
    Named(RuleId(id)): Named<RuleId>,
) -> Result<Json<ClaimedBody>, Problem> {
    claim(&app, caller, Claim::Achievement(id)).await
}

/// Seasons, the newest first
#[utoipa::path(get, path = "/v1/progression/seasons", operation_id = "list_seasons", tag = "progression", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = SeasonsBody)))]
async fn seasons(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let reached = app.store.reached(caller.player_id, "season", "tier", None, now_ms()).await?;
    let archived = app.store.archived_seasons().await?;
    let line = |id: &str, season: &Season, archived_players| {
        let xp = season_xp(&reached.counts, id);
        SeasonLineBody {
            season: id.to_owned(),
            name: season.name.clone(),
            starts_at_ms: season.from_ms,
            ends_at_ms: season.until_ms,
            xp,
            tiers_reached: season.reached(xp),
            archived_players,
        }
    };
    let mut seasons: Vec<_> = archived.iter().map(|one| line(&one.id, &one.season, Some(one.players))).collect();
    let is_archived = |id: &str| archived.iter().any(|one| one.id == id);
    let open = app.progression.seasons.iter().filter(|(id, _)| !is_archived(id));
    seasons.extend(open.map(|(id, season)| line(id, season, None)));
    seasons.sort_by_key(|season| std::cmp::Reverse(season.starts_at_ms));
    Ok(private(Json(SeasonsBody { seasons })))
}

/// A season with its battle pass
#[utoipa::path(get, path = "/v1/progression/seasons/{id}", operation_id = "get_season", tag = "progression", security(("access_token" = [])),
    params(("id" = String, Path)),
    responses(UsualProblems, (status = 200, body = SeasonBody)))]
async fn season(
    State(app): State<App>,
    caller: Caller,
    Named(RuleId(id)): Named<RuleId>,
) -> Result<impl IntoResponse, Problem> {
    // What is over is shown as it was, whatever the rules say of it now.
    let archived = app.store.archived_seasons().await?.into_iter().find(|one| one.id == id).map(|one| one.season);
    let season = archived.or_else(|| app.progression.seasons.get(&id).cloned());
    let season = season.ok_or_else(|| Problem::not_found("unknown-season", "there is no such season"))?;
    let reached = app.store.reached(caller.player_id, "season", "tier", season.pass.clone(), now_ms()).await?;
    let xp = season_xp(&reached.counts, &id);
    let is_claimed = |tier, track| reached.claims.contains(&Claim::Tier { season: id.clone(), tier, track }.name());
    let tier = |(number, tier): (u32, &crate::core::progression::Tier)| TierBody {
        tier: number,
        xp: tier.xp,
        is_reached: xp >= tier.xp,
        free: parts(&tier.free),
        free_is_claimed: is_claimed(number, Track::Free),
        paid: parts(&tier.paid),
        paid_is_claimed: is_claimed(number, Track::Paid),
    };
    let tiers = (1..).zip(&season.tiers).map(tier).collect();
    Ok(private(Json(SeasonBody {
        starts_at_ms: season.from_ms,
        ends_at_ms: season.until_ms,
        claim_until_ms: season.until_ms.saturating_add(season.claim_ms),
        xp,
        has_pass: reached.has_pass,
        tiers,
        name: season.name,
        pass: season.pass,
        season: id,
    })))
}

fn season_xp(counts: &[CountRow], id: &str) -> u64 {
    counts.iter().find(|row| row.id == id).map_or(0, |row| row.count)
}

/// Claim what a tier of a season gives
#[utoipa::path(post, path = "/v1/progression/seasons/{id}/claim", tag = "progression", security(("access_token" = [])),
    params(("id" = String, Path)), request_body = ClaimTierBody,
    responses(UsualProblems, (status = 200, body = ClaimedBody)))]
async fn claim_tier(
    State(app): State<App>,
    caller: Caller,
    Named(RuleId(season)): Named<RuleId>,
    Body(body): Body<ClaimTierBody>,
) -> Result<Json<ClaimedBody>, Problem> {
    claim(&app, caller, Claim::Tier { season, tier: body.tier, track: body.track }).await
}

async fn claim(app: &App, caller: Caller, claim: Claim) -> Result<Json<ClaimedBody>, Problem> {
    let rules = std::sync::Arc::clone(&app.progression);
    match app.store.claim(caller.player_id, claim, rules, now_ms()).await? {
        Claimed::Given { gave, first } => Ok(Json(ClaimedBody { gave: parts(&gave), first })),
        Claimed::NoTerms(NoTerms::Unknown) => {
            Err(Problem::not_found("unknown-reward", "the rules have no such reward"))
        }
        Claimed::NoTerms(NoTerms::Over) => Err(Problem::gone("claim-over", "its time is over")),
        Claimed::NotReached { count, goal } => {
            let detail = format!("you are at {count} of {goal}");
            Err(Problem::conflict("not-reached", detail).with("count", count).with("goal", goal))
        }
        Claimed::NoPass(pass) => {
            let detail = format!("the paid track is opened by the item \"{pass}\"");
            Err(Problem::conflict("no-pass", detail).with("item", pass))
        }
        Claimed::Full(fault) => Err(Problem::conflict("wallet-full", fault.to_string())),
    }
}

/// The unlock trees, and what the caller has of them
#[utoipa::path(get, path = "/v1/progression/unlocks", tag = "progression", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = UnlocksBody)))]
async fn unlocks(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let open = app.store.unlocked(caller.player_id).await?;
    let body = |(id, one): (&String, &crate::core::progression::Unlock)| UnlockBody {
        unlock: id.clone(),
        name: one.name.clone(),
        needs: one.needs.clone(),
        level: one.level,
        costs: parts(&one.costs),
        gives: parts(&one.gives),
        is_unlocked: open.contains(id),
    };
    Ok(private(Json(UnlocksBody { unlocks: app.progression.unlocks.iter().map(body).collect() })))
}

/// Unlock a node
///
/// Sent again it is answered as before, and costs nothing more.
#[utoipa::path(post, path = "/v1/progression/unlocks/{id}", tag = "progression", security(("access_token" = [])),
    params(("id" = String, Path)),
    responses(UsualProblems, (status = 200, body = UnlockedBody)))]
async fn unlock(
    State(app): State<App>,
    caller: Caller,
    Named(RuleId(id)): Named<RuleId>,
) -> Result<Json<UnlockedBody>, Problem> {
    let rules = std::sync::Arc::clone(&app.progression);
    Err(match app.store.unlock(caller.player_id, id, rules, now_ms()).await? {
        Unlocked::Done { first } => return Ok(Json(UnlockedBody { first })),
        Unlocked::Unknown => Problem::not_found("unknown-unlock", "the rules have no such unlock"),
        Unlocked::Needs(needs) => {
            Problem::conflict("needs-unlocks", format!("unlock {} first", needs.join(", "))).with("needs", needs)
        }
        Unlocked::Level { level, needed } => {
            let detail = format!("it takes level {needed}, and your highest is {level}");
            Problem::conflict("level-too-low", detail).with("level", level).with("needed", needed)
        }
        Unlocked::Missing(missing) => {
            let detail = format!("you have {} of item {}", missing.have, missing.item_id);
            Problem::conflict("too-few-items", detail).with("have", missing.have)
        }
        Unlocked::Money(LedgerFault::Insufficient { currency, balance, amount, .. }) => {
            let detail = format!("it costs {amount} {currency} and you have {balance}");
            Problem::new(StatusCode::PAYMENT_REQUIRED, "too-poor", "Not enough money", detail)
        }
        Unlocked::Money(fault) => Problem::conflict("wallet-full", fault.to_string()),
    })
}

/// Begin anew at level 1
///
/// XP in all, and what is more than the level took, stay. Sent again it is answered as before.
#[utoipa::path(post, path = "/v1/progression/prestige", tag = "progression", security(("access_token" = [])),
    request_body = PrestigeBody,
    responses(UsualProblems, (status = 200, body = PrestigedBody)))]
async fn prestige(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<PrestigeBody>,
) -> Result<Json<PrestigedBody>, Problem> {
    let rules = std::sync::Arc::clone(&app.progression);
    match app.store.prestige(caller.player_id, body.from, rules, now_ms()).await? {
        Prestiged::Done { standing, first } => {
            Ok(Json(PrestigedBody { prestige: standing.prestige, level: standing.level, first }))
        }
        Prestiged::NotPossible(standing) => {
            let detail = match &app.progression.prestige {
                Some(rules) => format!(
                    "it takes level {} and happens at most {} times: you are at level {} of prestige {}",
                    rules.level, rules.max, standing.level, standing.prestige
                ),
                None => "this game has no prestige".to_owned(),
            };
            Err(Problem::conflict("no-prestige", detail))
        }
        Prestiged::Elsewhere(standing) => {
            let detail = format!("your prestige is {}: send that as `from`", standing.prestige);
            Err(Problem::conflict("other-prestige", detail).with("prestige", standing.prestige))
        }
        Prestiged::Full(fault) => Err(Problem::conflict("wallet-full", fault.to_string())),
    }
}

/// Own figures over all matches
#[utoipa::path(get, path = "/v1/players/me/stats", operation_id = "own_stats", tag = "players", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = StatsBody)))]
async fn own_stats(State(app): State<App>, caller: Caller) -> Result<Json<StatsBody>, Problem> {
    stats_of(&app, caller.player_id).await
}

/// Another player's figures over all matches
#[utoipa::path(get, path = "/v1/players/{id}/stats", operation_id = "stats_of", tag = "players", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = StatsBody)))]
async fn stats(
    State(app): State<App>,
    _caller: Caller,
    Named(player): Named<PlayerId>,
) -> Result<Json<StatsBody>, Problem> {
    stats_of(&app, player).await
}

async fn stats_of(app: &App, player: PlayerId) -> Result<Json<StatsBody>, Problem> {
    if app.store.standing(player).await?.is_none() {
        return Err(Problem::not_found("unknown-player", "there is no such player"));
    }
    let rows = app.store.reached(player, "stat", "stat", None, now_ms()).await?.counts;
    let mut stats: BTreeMap<String, u64> = app.progression.stats.keys().map(|name| (name.clone(), 0)).collect();
    stats.extend(rows.into_iter().map(|row| (row.id, row.count)));
    Ok(Json(StatsBody { stats }))
}

fn parts(parts: &[Part]) -> Vec<PartBody> {
    parts.iter().map(part_body).collect()
}
