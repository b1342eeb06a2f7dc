//! Money under kill -9: server and database are killed in mid-flight, again and again, while players buy, get, trade, gift and
//! use things up, each act under an idempotency key. In the end every coin and every item is where the answers said it is.
//!
//! | module | |
//! |---|---|
//! | `stage` | the processes that are killed: the real `muster metagame`, a real PostgreSQL |
//! | `players` | what players do, each act until it is answered |
//! | `books` | what the answers said: the wallets and inventories that must be there, and the answers themselves |
//! | `audit` | what is there after all |
//!
//! Thirty kills here; `cargo xtask deep --only money` runs the same a thousand times, by the variables below.

mod audit;
mod books;
#[path = "../common/mod.rs"]
mod common;
mod players;
mod stage;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arena::random::Random;

use books::Books;
use players::Player;
use stage::{Engine, Stage};

/// How many kills.
const KILLS: &str = "MUSTER_MONEY_KILLS";
/// Seed of everything that is random here.
const SEED: &str = "MUSTER_MONEY_SEED";
/// Players at once.
const PLAYERS: u32 = 10;
/// Answers after which what was killed is back, and may be killed again.
const BACK_AFTER: u64 = 12;
/// One time in so many nobody waits for that.
const HASTE_OUT_OF: u32 = 8;
/// Longest pause until the next kill, and longest that something stays dead, in milliseconds.
const PAUSE_MS_MAX: u32 = 300;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_file_no_coin_is_lost_or_made_whenever_the_server_is_killed() {
    survive(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_no_coin_is_lost_or_made_whenever_server_or_database_is_killed() {
    survive(Engine::Postgres).await;
}

async fn survive(engine: Engine) {
    let (kills, seed) = (variable(KILLS).unwrap_or(30), variable(SEED).unwrap_or_else(service::random::u64));
    eprintln!("{engine:?}: {kills} kills, {SEED}={seed}");
    let mut random = Random::new(seed);
    let mut stage = Stage::set(engine).await;
    let books = Arc::new(Books::default());
    let mut players = Vec::new();
    for n in 0..PLAYERS {
        players.push(Player::enter(&stage.reach(), n, random.next_u64(), &books).await);
    }
    let ids: Vec<String> = players.iter().map(|player| player.id().to_owned()).collect();
    let playing: Vec<_> = players.into_iter().map(|player| tokio::spawn(player.play(ids.clone()))).collect();
    let mut killed_databases = 0;
    for n in 0..kills {
        tokio::time::sleep(Duration::from_millis(u64::from(random.below(PAUSE_MS_MAX)))).await;
        books.kill();
        let kills_database = engine == Engine::Postgres && random.below(3) == 0;
        let dead_for = Duration::from_millis(u64::from(random.below(PAUSE_MS_MAX)));
        if kills_database {
            stage.kill_database(dead_for).await;
            killed_databases += 1;
        } else {
            stage.kill_server(dead_for).await;
        }
        if n + 1 == kills || random.below(HASTE_OUT_OF) > 0 {
            books.answered_more(BACK_AFTER, &mut stage).await;
        }
        if n % 100 == 99 {
            eprintln!("{} kills, {} answers", n + 1, books.answers());
        }
    }
    books.end.store(true, Ordering::Relaxed);
    let mut players = Vec::new();
    for player in playing {
        players.push(player.await.expect("a player plays to the end"));
    }
    let seals = audit::everything(&stage, &books, players, &mut random).await;
    eprintln!(
        "{engine:?}: {kills} kills, {killed_databases} of the database; {} answers, {} of them after repetitions, {} requests \
         under way at a kill, {seals} seals",
        books.answers(),
        books.repeated(),
        books.under_way_at_kills(),
    );
    assert!(books.under_way_at_kills() > 0 && books.repeated() > 0, "nothing was in flight: this has proved nothing");
}
