//! Leaderboards on both databases, in memory and in Redis: the ranks are those of the sorted table, whatever was lost meanwhile.

mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;

use metagame::args;
use metagame::core::device::device_hash;
use metagame::core::leaderboard::{Board, Boards};
use metagame::core::ranking::{Page, Place, Start, among};
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::db::{Domain, Sql};
use metagame::ranks::Ranks;
use metagame::redis::{Redis, RedisUrl};
use metagame::store::{DeviceLogin, Order, ScoreWrite, Store};
use protocol::id::PlayerId;
use service::Shutdown;
use testkit::redis::RedisServer;
use testkit::wait::until;

use stores::{Keep, stores};

const FILE: &str = r#"
    [[board]]
    id = "best"
    regions = ["eu", "us"]
    [[board]]
    id = "lap"
    order = "ascending"
    ties = "first"
    [[board]]
    id = "sum"
    keep = "sum"
    [[board]]
    id = "last"
    keep = "last"
"#;

fn boards() -> Arc<Boards> {
    Arc::new(Boards::parse(FILE).expect("a good file"))
}

fn start(store: &Store, redis: Option<&RedisServer>) -> (Ranks, Shutdown) {
    let shutdown = Shutdown::new();
    let redis = redis.map(|server| {
        let url: RedisUrl = server.url().parse().expect("an address");
        Redis::new(&url, "test").expect("a way")
    });
    (Ranks::start(store, boards(), redis, std::time::Duration::from_secs(20), &shutdown).0, shutdown)
}

/// Accounts of some players.
async fn players(store: &Store, count: u8) -> Vec<PlayerId> {
    let mut players = Vec::new();
    for n in 1..=count {
        let token = RefreshSecret::new(&[7; 32]).first(SessionId(uuid::Uuid::from_bytes([n; 16])), [n; 32]);
        let login = DeviceLogin {
            device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
            new_player: PlayerId::from_entropy([n.wrapping_mul(37); 16]),
            name: None,
            session: token.session,
            token: token.hash(),
            sessions_max: 8,
            now_ms: 1_700_000_000_000,
        };
        players.push(store.login_device(login).await.expect("a login").player);
    }
    players
}

fn score(player: PlayerId, score: i64) -> ScoreWrite {
    ScoreWrite { player, score, region: String::new(), write_id: None }
}

/// The whole board, once it was read.
async fn whole(ranks: &Ranks, board: &Arc<Board>, region: usize) -> Page {
    until("the board is read", async || ranks.page(board, 0, Start::At(0), 500, region).await.ok())
        .await
        .expect("not around anybody")
}

/// The board as the table says it is.
async fn sorted(store: &Store, board: &Board, region: usize) -> Page {
    let rows = store.entries_after(&board.id, 0, PlayerId::from_bytes([0; 16])).await.expect("rows");
    let entries = rows.iter().map(|row| row.entry(board)).filter(|entry| !entry.removed);
    let place = |entry: metagame::core::ranking::Entry| {
        (Place { sort: board.sort(entry.score), since_ms: entry.since_ms, player: entry.player }, entry.region)
    };
    among(board.ties, entries.map(place).filter(|(_, of)| region == 0 || *of == region).collect())
}

/// Waits until ranks are those of the table.
async fn agree(store: &Store, ranks: &Ranks) {
    for board in ranks.boards().named() {
        for region in 0..=board.regions.len() {
            until("ranks are those of the table", async || {
                (whole(ranks, board, region).await == sorted(store, board, region).await).then_some(())
            })
            .await;
        }
    }
}

/// Writes scores by a seed.
async fn play(ranks: &Ranks, players: &[PlayerId], seed: u64) {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..20 {
        for board in ranks.boards().named().cloned().collect::<Vec<_>>() {
            let mut writes = Vec::new();
            for _ in 0..next(8) + 1 {
                let player = players[next(players.len() as u64) as usize];
                let region = ["eu", "us", "mars"][next(3) as usize].to_owned();
                let write_id = Some(format!("{seed}-{round}-{}", next(1_000)));
                writes.push(ScoreWrite { player, score: next(40) as i64 - 10, region, write_id });
            }
            ranks.write(&board, 0, writes).await.expect("written");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_board_keeps_scores_by_its_rule() {
    for (store, _keep) in stores().await {
        let (ranks, shutdown) = start(&store, None);
        let players = players(&store, 2).await;
        let (ada, stranger) = (players[0], PlayerId::from_entropy([200; 16]));
        let expected = BTreeMap::from([("best", [7, 7, 9]), ("lap", [7, 5, 5]), ("last", [7, 5, 9])]);
        for (id, expected) in expected {
            let board = ranks.boards().find(id);
            for (wrote, stands) in [7, 5, 9].into_iter().zip(expected) {
                let rows = ranks.write(&board, 0, vec![score(ada, wrote), score(stranger, 1)]).await.expect("written");
                assert_eq!(rows.iter().map(|row| (row.player, row.score)).collect::<Vec<_>>(), [(ada, stands)], "{id}");
            }
        }
        let sum = ranks.boards().find("sum");
        let write = |id: &str| ScoreWrite { write_id: Some(id.into()), ..score(ada, 7) };
        for (ids, stands) in [(&["a", "b"][..], 14), (&["b"], 14), (&["b", "c"], 21), (&["a", "b", "c"], 21)] {
            let rows = ranks.write(&sum, 0, ids.iter().map(|id| write(id)).collect()).await.expect("written");
            assert_eq!(rows[0].score, stands, "what was sent again does not count again");
        }
        shutdown.trigger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_lose_nothing() {
    for (store, _keep) in stores().await {
        let (ranks, shutdown) = start(&store, None);
        let players = players(&store, 4).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..32_u64 {
            let (ranks, players) = (ranks.clone(), players.clone());
            tasks.spawn(async move {
                for round in 0..5_u64 {
                    let all = players.iter().map(|player| ScoreWrite {
                        write_id: Some(format!("{n}-{round}-{player}")),
                        ..score(*player, 1)
                    });
                    ranks.write(&ranks.boards().find("sum"), 0, all.collect()).await.expect("written");
                }
            });
        }
        tasks.join_all().await;
        let page = whole(&ranks, &ranks.boards().find("sum"), 0).await;
        assert_eq!(
            page.entries.iter().map(|ranked| (ranked.rank, ranked.place.sort)).collect::<Vec<_>>(),
            [(1, -160); 4]
        );
        shutdown.trigger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranks_are_the_sorted_table_on_every_instance() {
    for (store, keep) in stores().await {
        let players = players(&store, 12).await;
        let (ranks, shutdown) = start(&store, None);
        play(&ranks, &players, 1).await;
        agree(&store, &ranks).await;
        // A SQLite file has one instance.
        if matches!(keep, Keep::Database(_)) {
            let elsewhere = keep.open().await;
            let (other, other_shutdown) = start(&elsewhere, None);
            agree(&store, &other).await;
            play(&other, &players, 2).await;
            play(&ranks, &players, 3).await;
            agree(&store, &ranks).await;
            agree(&store, &other).await;
            other_shutdown.trigger();
        }
        let board = ranks.boards().find("best");
        let row = store.remove_entry("best", 0, players[0], Order::default()).await.expect("removed");
        assert!(row.is_none_or(|row| row.removed));
        agree(&store, &ranks).await;
        assert_eq!(ranks.rank_of(&board, 0, players[0], 0).await.expect("ranks"), None);
        shutdown.trigger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_set_back_is_noticed() {
    for (store, _keep) in stores().await {
        let players = players(&store, 3).await;
        let (ranks, shutdown) = start(&store, None);
        let best = ranks.boards().find("best");
        let all = players.iter().enumerate().map(|(n, player)| score(*player, n as i64)).collect();
        ranks.write(&best, 0, all).await.expect("written");
        agree(&store, &ranks).await;
        // What a restored backup looks like: rows are gone and nobody was told. An operator has the ranks computed anew.
        store.database().statement(Domain::Operations, "DELETE FROM lb_entries", args![]).await.expect("gone");
        ranks.rebuild().await;
        agree(&store, &ranks).await;
        assert_eq!(whole(&ranks, &best, 0).await.total, 0);
        shutdown.trigger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_redis_the_ranks_are_those_of_the_table_whatever_redis_forgets() {
    for (store, _keep) in stores().await {
        let mut redis = RedisServer::start();
        let players = players(&store, 12).await;
        let (ranks, shutdown) = start(&store, Some(&redis));
        play(&ranks, &players, 4).await;
        agree(&store, &ranks).await;
        // A board is read into Redis when somebody asks for it.
        let in_redis = async |redis: &RedisServer| {
            until("the boards are in Redis", async || {
                for board in ranks.boards().named() {
                    whole(&ranks, board, 0).await;
                }
                let ready = redis.cli(&["HVALS", "muster:test:ranks:ready"]);
                let epoch = redis.cli(&["HGET", "muster:test:ranks:state", "epoch"]);
                (!epoch.is_empty() && ready.lines().filter(|of| *of == epoch).count() == 4).then_some(())
            })
            .await;
        };
        in_redis(&redis).await;
        agree(&store, &ranks).await;
        // Older than the table: a snapshot, more scores, and Redis comes back with the snapshot.
        assert_eq!(redis.cli(&["SAVE"]), "OK");
        play(&ranks, &players, 5).await;
        redis.kill();
        agree(&store, &ranks).await;
        redis.start_again();
        agree(&store, &ranks).await;
        in_redis(&redis).await;
        agree(&store, &ranks).await;
        // Empty.
        redis.cli(&["FLUSHALL"]);
        agree(&store, &ranks).await;
        in_redis(&redis).await;
        play(&ranks, &players, 6).await;
        agree(&store, &ranks).await;
        shutdown.trigger();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_redis_and_in_memory_are_the_same() {
    for (store, _keep) in stores().await {
        let redis = RedisServer::start();
        let players = players(&store, 12).await;
        let (shared, shutdown) = start(&store, Some(&redis));
        play(&shared, &players, 7).await;
        let memory = start(&store, None).0;
        agree(&store, &memory).await;
        for board in memory.boards().named() {
            let all = whole(&memory, board, 0).await;
            until("Redis has it", async || {
                whole(&shared, board, 0).await;
                let epoch = redis.cli(&["HGET", "muster:test:ranks:state", "epoch"]);
                let ready = redis.cli(&["HGET", "muster:test:ranks:ready", &format!("{}|0", board.id)]);
                (!epoch.is_empty() && ready == epoch).then_some(())
            })
            .await;
            for (index, ranked) in all.entries.iter().enumerate() {
                let starts = [
                    Start::After(ranked.place),
                    Start::Around(ranked.place.player, 2),
                    Start::At(index as u64),
                    Start::Around(PlayerId::from_entropy([99; 16]), 1),
                ];
                for start in starts {
                    let (a, b) = (memory.page(board, 0, start, 5, 0).await, shared.page(board, 0, start, 5, 0).await);
                    assert_eq!(a.expect("memory"), b.expect("redis"), "{} {start:?}", board.id);
                }
            }
        }
        shutdown.trigger();
    }
}

#[tokio::test]
async fn seasons_are_listed_newest_first_and_stay_as_they_ended() {
    for (store, _keep) in stores().await {
        let (ranks, shutdown) = start(&store, None);
        let ada = players(&store, 1).await[0];
        let board = ranks.boards().find("best");
        for season in [0, 3, 7] {
            ranks.write(&board, season, vec![score(ada, season as i64)]).await.expect("written");
        }
        assert_eq!(store.board_seasons("best").await.expect("seasons"), [7, 3, 0]);
        let of = async |season| {
            until("the board is read", async || ranks.rank_of(&board, season, ada, 0).await.ok())
                .await
                .map(|ranked| ranked.place.sort)
        };
        assert_eq!((of(3).await, of(7).await, of(5).await), (Some(-3), Some(-7), None));
        shutdown.trigger();
    }
}

#[tokio::test]
async fn ratings_that_were_there_before_leaderboards_are_on_them() {
    let sql = include_str!("../migrations/0030_leaderboards.sql");
    let copy =
        sql.lines().skip_while(|line| !line.starts_with("INSERT INTO lb_entries")).collect::<Vec<_>>().join("\n");
    let copy: &'static str = copy.leak();
    for (store, _keep) in stores().await {
        let ada = players(&store, 1).await[0];
        let db = store.database();
        let rating = "INSERT INTO ratings (queue, player_id, rating, uncertainty, score, matches, wins)
                      VALUES ('duel', $1, 25.0, 8.0, 1.0000014, 1, 1)";
        db.statement(Domain::Operations, rating, args![ada]).await.expect("a rating");
        let postgres: &'static str = copy.replace("INTEGER", "BIGINT").leak();
        db.statement(Domain::Operations, Sql::by_engine(copy, postgres), args![]).await.expect("copied");
        let rows = store.entries_of("duel", 0, &[ada]).await.expect("rows");
        assert_eq!((rows[0].score, rows[0].since_ms), (1_000_001, 0));
    }
}
