//! The rows: what is asked, by how many, and what it should reach.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use loadtest::metagame::connection::{Connection, request};
use loadtest::metagame::load::{Load, Outcome, Script, paced};
use loadtest::metagame::session::{device, good, login, of_player, once};
use serde_json::json;

use crate::report::Measured;
use crate::serve::service_token;
use crate::stage::{KNOWN, Kind, SEED, Stage};

/// Connections of most rows.
const CONNECTIONS: usize = 32;
/// Entries of the boards that ranks are asked of.
const AROUND_OF: u32 = 100_000;
const OWN_RANK_OF: u32 = 1_000_000;
/// Items of the account whose inventory is read.
const ITEMS: u32 = 10_000;

/// What a row should reach.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Goal {
    pub(crate) per_second: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

fn goal(per_second: f64, p99_ms: f64) -> Goal {
    let some = |value: f64| (value > 0.0).then_some(value);
    Goal { per_second: some(per_second), p99_ms: some(p99_ms) }
}

type Run = for<'a> fn(&'a mut Stage, Duration) -> Pin<Box<dyn Future<Output = anyhow::Result<Measured>> + 'a>>;

/// A row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) goal: Goal,
    pub(crate) run: Run,
}

/// The rows of a stage.
pub(crate) fn of(kind: Kind) -> Vec<Row> {
    let row = |name, goal, run| Row { name, goal, run };
    match kind {
        Kind::Postgres => vec![
            row("login-known", goal(5_000.0, 15.0), |stage, length| Box::pin(login_known(stage, length))),
            row("login-new", goal(2_500.0, 30.0), |stage, length| Box::pin(login_new(stage, length))),
            row("account-read", goal(9_000.0, 10.0), |stage, length| Box::pin(account_read(stage, length))),
            row("score-write", goal(5_000.0, 0.0), |stage, length| Box::pin(score_write(stage, length))),
            row("score-batch-100", goal(20_000.0, 0.0), |stage, length| Box::pin(score_batch(stage, length))),
            row("value-write", goal(3_500.0, 0.0), |stage, length| Box::pin(value_write(stage, length))),
            row("value-read", goal(9_000.0, 0.0), |stage, length| Box::pin(value_read(stage, length))),
            row("purchase", goal(1_200.0, 40.0), |stage, length| Box::pin(purchase(stage, length))),
            row("inventory-page", goal(0.0, 10.0), |stage, length| Box::pin(inventory_page(stage, length))),
            row("password-beside-reads", goal(0.0, 20.0), |stage, length| {
                Box::pin(reads_beside_passwords(stage, length))
            }),
            row("ranks-around", goal(6_000.0, 0.0), |stage, length| Box::pin(ranks_around(stage, length))),
            row("own-rank", goal(0.0, 2.0), |stage, length| Box::pin(own_rank(stage, length))),
        ],
        Kind::PostgresRedis => vec![
            row("ranks-around", goal(6_000.0, 0.0), |stage, length| Box::pin(ranks_around(stage, length))),
            row("own-rank", goal(0.0, 2.0), |stage, length| Box::pin(own_rank(stage, length))),
        ],
        Kind::Sqlite => vec![
            row("login-known", goal(0.0, 0.0), |stage, length| Box::pin(login_known(stage, length))),
            row("account-read", goal(0.0, 0.0), |stage, length| Box::pin(account_read(stage, length))),
            row("purchase", goal(600.0, 0.0), |stage, length| Box::pin(purchase(stage, length))),
        ],
    }
}

async fn login_known(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let script: Script = Arc::new(|connection, round| login(&device(SEED, spread(connection, round, KNOWN))));
    stage.measure(CONNECTIONS, length, ("POST", "/v1/auth/device"), script).await
}

async fn login_new(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let seed = service::random::u64();
    let script: Script = Arc::new(move |connection, round| login(&device(seed, round << 16 | connection as u64)));
    stage.measure(CONNECTIONS, length, ("POST", "/v1/auth/device"), script).await
}

async fn account_read(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let script = reads(stage);
    stage.measure(CONNECTIONS, length, ("GET", "/v1/players/me"), script).await
}

fn reads(stage: &Stage) -> Script {
    let accounts = Arc::clone(&stage.accounts);
    Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        of_player("GET", "/v1/players/me", &account.bearer, "")
    })
}

async fn score_write(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let accounts = Arc::clone(&stage.accounts);
    let script: Script = Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        let body = json!({ "score": (round * 7_919) % 100_000 }).to_string();
        of_player("POST", "/v1/leaderboards/open/entries", &account.bearer, &body)
    });
    stage.measure(CONNECTIONS, length, ("POST", "/v1/leaderboards/{queue}/entries"), script).await
}

async fn score_batch(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let (accounts, token) = (Arc::clone(&stage.accounts), service_token());
    let script: Script = Arc::new(move |connection, round| {
        let first = connection * 100 + round as usize * 37;
        let entries: Vec<_> = (0..100)
            .map(|number| {
                let account = &accounts[(first + number) % accounts.len()];
                json!({ "player_id": account.player_id, "score": (round * 100 + number as u64 * 7_919) % 100_000 })
            })
            .collect();
        let body = json!({ "entries": entries }).to_string();
        of_player("POST", "/v1/leaderboards/trusted/entries:batch", &token, &body)
    });
    let mut measured =
        stage.measure(CONNECTIONS, length, ("POST", "/v1/leaderboards/{queue}/entries:batch"), script).await?;
    measured.each = 100;
    Ok(measured)
}

async fn value_write(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let accounts = Arc::clone(&stage.accounts);
    let script: Script = Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        let value = json!({ "chapter": round, "flags": [connection, 2, 3], "note": "a hundred bytes or so, as a saved game has" });
        of_player("PUT", "/v1/kv/saves/slot-1", &account.bearer, &value.to_string())
    });
    stage.measure(CONNECTIONS, length, ("PUT", "/v1/kv/{collection}/{key}"), script).await
}

async fn value_read(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let accounts = Arc::clone(&stage.accounts);
    let mut connection = Connection::new(stage.api());
    for account in &accounts[..] {
        good(&connection.send(&of_player("PUT", "/v1/kv/saves/slot-1", &account.bearer, r#"{"chapter":1}"#)).await?)?;
    }
    let script: Script = Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        of_player("GET", "/v1/kv/saves/slot-1", &account.bearer, "")
    });
    stage.measure(CONNECTIONS, length, ("GET", "/v1/kv/{collection}/{key}"), script).await
}

async fn purchase(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    // Each connection is a player of its own, with gold enough.
    let mut admin = Connection::new(stage.ready.admin);
    for account in &stage.accounts[..CONNECTIONS] {
        let order = json!({ "player_id": account.player_id, "operator": "bench", "reason": "purchases",
            "currencies": [{ "currency": "gold", "amount": 1_000_000 }] });
        let key = uuid_like();
        let request = request("POST", "/grants", &[("Idempotency-Key", &key)], order.to_string().as_bytes());
        good(&admin.send(&request).await?)?;
    }
    let (accounts, run) = (Arc::clone(&stage.accounts), uuid_like());
    let script: Script = Arc::new(move |connection, round| {
        let key = format!("{run}-{connection}-{round}");
        once("/v1/store/purchases", &accounts[connection].bearer, &key, r#"{"offer":"potion"}"#)
    });
    stage.measure(CONNECTIONS, length, ("POST", "/v1/store/purchases"), script).await
}

async fn inventory_page(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let account = stage.accounts[KNOWN - 1].clone();
    let player = account.player_id.replace('-', "");
    let database = stage.database.as_ref().context("on a PostgreSQL")?;
    database.psql(&format!(
        "INSERT INTO items (player_id, item_id, definition, definition_version, quantity, acquired_at_ms) \
         SELECT decode('{player}', 'hex'), decode(md5('item' || n), 'hex'), 'sword', 1, 1, n FROM generate_series(1, {ITEMS}) n \
         ON CONFLICT DO NOTHING; ANALYZE items"
    ));
    // Pages from everywhere in the inventory, by cursors that the server itself gave.
    let mut connection = Connection::new(stage.api());
    let mut paths = vec!["/v1/players/me/inventory?limit=100".to_owned()];
    for _ in 1..ITEMS / 100 {
        let path = paths.last().context("at least the first")?;
        let body = good(&connection.send(&of_player("GET", path, &account.bearer, "")).await?)?;
        let Some(cursor) = body["next_cursor"].as_str() else { break };
        paths.push(format!("/v1/players/me/inventory?limit=100&cursor={cursor}"));
    }
    anyhow::ensure!(paths.len() as u32 >= ITEMS / 100, "{} pages", paths.len());
    let script: Script = Arc::new(move |connection, round| {
        of_player("GET", &paths[spread(connection, round, paths.len()) as usize], &account.bearer, "")
    });
    stage.measure(8, length, ("GET", "/v1/players/me/inventory"), script).await
}

/// 2,000 reads a second, timed, while 30 logins by password a second are checked by argon2id.
async fn reads_beside_passwords(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    let accounts = Arc::clone(&stage.accounts);
    let mut connection = Connection::new(stage.api());
    let with_password = 16;
    let mut emails = Vec::new();
    for account in &accounts[..with_password] {
        let email = format!("{}@example.org", &account.device_id[16..]);
        emails.push((email, account.bearer.clone()));
    }
    register(stage, &mut connection, &emails).await?;
    let logins: Script = Arc::new(move |connection, round| {
        let email = &emails[spread(connection, round, emails.len()) as usize].0;
        request(
            "POST",
            "/v1/auth/password",
            &[],
            json!({ "email": email, "password": PASSWORD }).to_string().as_bytes(),
        )
    });
    let (reads, warm_up) = (reads(stage), Duration::from_secs(3));
    let slowest = Arc::new(std::sync::Mutex::new(Outcome::default()));
    let seen = Arc::clone(&slowest);
    let measured = stage
        .measure_by(("GET", "/v1/players/me"), CONNECTIONS, length, async move |address| {
            let load = |connections| Load { connections, warm_up, length };
            let (reads, logins) =
                tokio::join!(paced(address, load(CONNECTIONS), 2_000.0, reads), paced(address, load(8), 30.0, logins));
            *seen.lock().unwrap() = logins;
            reads
        })
        .await?;
    let logins = slowest.lock().unwrap().clone();
    eprintln!(
        "  logins by password: {:.1}/s, p50 {:.0} ms, slowest {:.0} ms, {} failed ({:?})",
        logins.per_second(),
        logins.ms(0.5),
        logins.ms(1.0),
        logins.failed(),
        logins.first_wrong
    );
    anyhow::ensure!(logins.failed() == 0, "a login by password failed: {:?}", logins.first_wrong);
    Ok(measured)
}

const PASSWORD: &str = "correct horse battery staple 7";

/// Gives players an address and a password, by the code in the mail that each is sent.
async fn register(stage: &Stage, connection: &mut Connection, emails: &[(String, String)]) -> anyhow::Result<()> {
    for (email, bearer) in emails {
        let body = json!({ "email": email, "password": PASSWORD }).to_string();
        let path = "/v1/players/me/identities/password";
        let sent = good(&connection.send(&of_player("POST", path, bearer, &body)).await?)?;
        let code = code_to(stage, email).await?;
        let body = json!({ "code_id": sent["code_id"], "code": code }).to_string();
        good(&connection.send(&of_player("POST", &format!("{path}/verify"), bearer, &body)).await?)?;
    }
    Ok(())
}

/// The code in the mail to an address; mail goes into a folder here.
async fn code_to(stage: &Stage, email: &str) -> anyhow::Result<String> {
    for _ in 0..200 {
        let mails = std::fs::read_dir(stage.mail_folder()).into_iter().flatten().filter_map(Result::ok);
        let texts = mails.filter_map(|mail| std::fs::read_to_string(mail.path()).ok());
        let is_code = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_digit());
        for text in texts.filter(|text| text.contains(email)) {
            if let Some(code) = text.split_whitespace().find(is_code) {
                return Ok(code.to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("no mail to {email}")
}

async fn ranks_around(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    fill_boards(stage).await?;
    let accounts = Arc::clone(&stage.accounts);
    let script: Script = Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        of_player("GET", "/v1/leaderboards/hundred-thousand/entries?around=me&limit=20", &account.bearer, "")
    });
    stage.measure(CONNECTIONS, length, ("GET", "/v1/leaderboards/{queue}/entries"), script).await
}

async fn own_rank(stage: &mut Stage, length: Duration) -> anyhow::Result<Measured> {
    fill_boards(stage).await?;
    let accounts = Arc::clone(&stage.accounts);
    let script: Script = Arc::new(move |connection, round| {
        let account = &accounts[spread(connection, round, accounts.len()) as usize];
        of_player("GET", "/v1/leaderboards/million/entries?around=me&limit=1", &account.bearer, "")
    });
    // What one answer takes, not how many there are: few connections, so that it does not wait for a core.
    stage.measure(2, length, ("GET", "/v1/leaderboards/{queue}/entries"), script).await
}

/// Entries of players that nobody is, and of the known accounts among them; metagame reads them at its start.
async fn fill_boards(stage: &mut Stage) -> anyhow::Result<()> {
    if std::mem::replace(&mut stage.boards_filled, true) {
        return Ok(());
    }
    let database = stage.database.as_ref().context("on a PostgreSQL")?;
    for (board, entries) in [("hundred-thousand", AROUND_OF), ("million", OWN_RANK_OF)] {
        database.psql(&format!(
            "INSERT INTO accounts (player_id, name, version, created_at_ms, xp, matches, wins) \
             SELECT decode(md5('player' || n), 'hex'), 'player ' || n, 1, 0, 0, 0, 0 FROM generate_series(1, {entries}) n \
             ON CONFLICT DO NOTHING; \
             INSERT INTO lb_entries (board, season, player_id, score, since_ms, region, version, change, removed) \
             SELECT '{board}', 0, player_id, (hashtext(encode(player_id, 'hex'))::bigint & 1048575), 0, '', 1, 0, 0 \
             FROM (SELECT player_id FROM accounts ORDER BY created_at_ms DESC LIMIT {entries}) AS chosen ON CONFLICT DO NOTHING"
        ));
    }
    database.psql("ANALYZE accounts; ANALYZE lb_entries");
    stage.restart().await?;
    if stage.kind == Kind::PostgresRedis {
        // What was written behind its back is not among the ranks of a Redis that it filled before.
        let rebuild = request("POST", "/leaderboards/rebuild", &[], b"");
        good(&Connection::new(stage.ready.admin).send(&rebuild).await?)?;
        in_redis(stage, &["hundred-thousand", "million"]).await?;
    }
    Ok(())
}

/// Waits until these boards were read into Redis, where until then memory answers.
async fn in_redis(stage: &Stage, boards: &[&str]) -> anyhow::Result<()> {
    let (mut api, mut admin) = (Connection::new(stage.api()), Connection::new(stage.ready.admin));
    let before = boards_read(&mut admin).await?;
    for _ in 0..600 {
        for board in boards {
            let path = format!("/v1/leaderboards/{board}/entries?around=me&limit=1");
            api.send(&of_player("GET", &path, &stage.accounts[KNOWN - 1].bearer, "")).await?;
        }
        if boards_read(&mut admin).await? >= before + boards.len() as u64 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("no ranks in Redis after two minutes")
}

/// How many boards were read into Redis so far.
async fn boards_read(admin: &mut Connection) -> anyhow::Result<u64> {
    let answer = admin.send(&request("GET", "/metrics", &[], b"")).await?;
    let text = String::from_utf8(answer.body).context("metrics are text")?;
    let count =
        text.lines().find_map(|line| line.strip_prefix("muster_metagame_ranks_load_seconds_count{to=\"redis\"} "));
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// A number below `of` that differs from connection to connection and from round to round.
fn spread(connection: usize, round: u64, of: usize) -> u64 {
    let mixed = (connection as u64 + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(round.wrapping_mul(0xD1B5_4A32_D192_ED03));
    (mixed >> 20) % of as u64
}

fn uuid_like() -> String {
    service::random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
