//! Reports of the game, as clients and servers send them.

use std::sync::Arc;

use metagame::core::telemetry::plan::Plan;
use metagame::store::telemetry::{PURPOSE, TelemetryLog, TelemetryRow};
use metagame::vault::Vault;
use metagame::{DatabaseLocation, TelemetrySettings};
use serde_json::{Value, json};
use service::token::ServiceTokens;
use sqlx::{Connection as _, Executor as _};
use testkit::wait::until;
use uuid::Uuid;

use super::harness::{Answer, Harness, Player};

/// The log of reports, beside the metagame that writes it.
pub(crate) async fn log(harness: &Harness) -> TelemetryLog {
    TelemetryLog::of(&harness.config.database, harness.store().await.database())
}

/// What stands for a player in reports, if its key is there.
pub(crate) async fn pseudonym(harness: &Harness, player: &Player) -> Option<[u8; 16]> {
    let vault = Vault::new(&service::key::seed(&harness.config.vault_key_file).expect("the key file"));
    let store = harness.store().await;
    let key = store.account_key(&vault, player.id, service::clock::unix_ms()).await.expect("read");
    key.map(|key| key.pseudonym(PURPOSE))
}

/// Reports about a player, once there are so many.
pub(crate) async fn kept(harness: &Harness, player: &Player, count: usize) -> Vec<TelemetryRow> {
    let (log, name) = (log(harness).await, pseudonym(harness, player).await.expect("a key"));
    rows(&log, name, count).await
}

async fn rows(log: &TelemetryLog, pseudonym: [u8; 16], count: usize) -> Vec<TelemetryRow> {
    let found = async || {
        let rows = log.page(pseudonym, None, 1_000).await.ok()?;
        (rows.len() == count).then_some(rows)
    };
    let mut rows = until(&format!("{count} reports are kept"), found).await;
    rows.sort_by(|a, b| (&a.name, a.at_ms).cmp(&(&b.name, b.at_ms)));
    rows
}

async fn report(harness: &Harness, token: &str, events: &Value) -> Answer {
    harness.post("/v1/telemetry:batch", Some(token), &json!({ "events": events })).await
}

fn service_token(harness: &Harness) -> String {
    let service = ServiceTokens::new(Arc::new(harness.service_key()), "gameserver").bearer("muster-metagame");
    service.expect("a token").replace("Bearer ", "")
}

/// The counter of reports with this outcome.
async fn counted(harness: &Harness, outcome: &str) -> f64 {
    let metrics = reqwest::get(harness.admin_url("/metrics")).await.expect("metrics").text().await.expect("text");
    let series = format!("muster_metagame_telemetry_events_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned);
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn seen(rows: &[TelemetryRow]) -> Vec<(&str, u32, &str)> {
    rows.iter().map(|row| (row.name.as_str(), row.version, row.source.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_clients_and_servers_are_kept_under_pseudonyms() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let at_ms = service::clock::unix_ms() - 5_000;
    let own = json!([
        { "name": "a.menu", "body": { "clicks": 3, "button": "play" } },
        { "name": "b.kill", "version": 2, "at_ms": at_ms, "event_id": Uuid::from_u128(9) },
    ]);
    let sent = report(&harness, &ada.access, &own).await;
    assert_eq!((sent.status.as_u16(), sent.body), (202, json!({ "accepted": 2, "lost": 0, "refused": [] })));
    let service = service_token(&harness);
    let others = json!([{ "name": "c.tick", "body": { "ms": 4 } }, { "name": "d.aim", "player_id": ada.id }]);
    let alias = harness.post("/game/telemetry", Some(&service), &json!({ "events": others })).await;
    assert_eq!((alias.status.as_u16(), &alias.body["accepted"]), (202, &json!(2)));
    let theirs = json!([{ "name": "e.menu", "player_id": bob.id }]);
    assert_eq!(report(&harness, &bob.access, &theirs).await.status, 202);

    let rows_of_ada = kept(&harness, &ada, 3).await;
    assert_eq!(seen(&rows_of_ada), [("a.menu", 1, "client"), ("b.kill", 2, "client"), ("d.aim", 1, "server")]);
    assert_eq!((rows_of_ada[0].body.as_str(), rows_of_ada[1].at_ms), ("{\"clicks\":3}", at_ms));
    assert!(!rows_of_ada[0].sealed.is_empty() && rows_of_ada[1].sealed.is_empty());
    assert_eq!(seen(&kept(&harness, &bob, 1).await), [("e.menu", 1, "client")]);
    assert_ne!(pseudonym(&harness, &ada).await, pseudonym(&harness, &bob).await);
    assert_ne!(rows_of_ada[0].pseudonym, ada.id.to_bytes());
    assert!(counted(&harness, "kept").await >= 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_is_kept_once() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let event = |n: u128| json!({ "event_id": Uuid::from_u128(n), "name": format!("n{n}") });
    for batch in [json!([event(1), event(2)]), json!([event(1), event(2)]), json!([event(2), event(3)])] {
        assert_eq!(report(&harness, &ada.access, &batch).await.status, 202);
    }
    let names: Vec<String> = kept(&harness, &ada, 3).await.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_good_ones_of_a_batch_are_taken_and_the_others_named() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let mixed = json!([{ "name": "good" }, { "name": "no spaces" }, { "name": "about.bob", "player_id": bob.id }]);
    let sent = report(&harness, &ada.access, &mixed).await;
    assert_eq!((sent.status.as_u16(), &sent.body["accepted"]), (202, &json!(1)));
    let refused: Vec<&Value> =
        sent.body["refused"].as_array().expect("refused").iter().map(|one| &one["event"]).collect();
    assert_eq!(refused, [&json!(1), &json!(2)]);
    assert_eq!(seen(&kept(&harness, &ada, 1).await), [("good", 1, "client")]);

    let many: Vec<Value> = (0..101).map(|_| json!({ "name": "a" })).collect();
    let rows = [
        json!([]),
        json!(many),
        json!([{ "name": "no spaces" }]),
        json!([{ "name": "a", "version": 0 }]),
        json!([{ "name": "a", "body": { "x": "y".repeat(5_000) } }]),
    ];
    for events in rows {
        let answer = report(&harness, &ada.access, &events).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid-telemetry"), "{events}");
    }
    let nobody = report(&harness, &service_token(&harness), &json!([{ "name": "a", "body": { "who": "Ada" } }])).await;
    assert!(nobody.text("detail").contains("about nobody"), "{nobody:?}");
    let shape = report(&harness, &ada.access, &json!([{ "name": "a", "body": [] }])).await;
    assert_eq!(shape.problem(), "wrong-type");
    for token in ["nonsense", ""] {
        assert_eq!(report(&harness, token, &json!([{ "name": "a" }])).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_what_may_be_read_and_players_in_it_get_pseudonyms() {
    let plan = r#"
        [[event]]
        name = "kill"
        from = ["server"]
        fields = { weapon = ["rifle"], victim = "player", words = "text" }
    "#;
    let plan = Plan::parse(plan).expect("a good plan");
    let harness = Harness::start_changed(move |config, _| {
        config.parts.telemetry = TelemetrySettings { plan, ..TelemetrySettings::default() };
    })
    .await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let event = |body: Value| json!([{ "name": "kill", "player_id": ada.id, "body": body }]);
    let service = service_token(&harness);
    let good = event(json!({ "weapon": "rifle", "victim": bob.id, "words": "gg" }));
    assert_eq!(report(&harness, &service, &good).await.status, 202);
    for bad in [json!({ "weapon": "Bob" }), json!({ "more": 1 }), json!({ "victim": "Bob" })] {
        assert_eq!(report(&harness, &service, &event(bad)).await.problem(), "invalid-telemetry");
    }
    assert_eq!(report(&harness, &ada.access, &json!([{ "name": "kill" }])).await.problem(), "invalid-telemetry");
    let row = kept(&harness, &ada, 1).await.remove(0);
    let victim = Uuid::from_bytes(pseudonym(&harness, &bob).await.expect("a key"));
    assert_eq!(serde_json::from_str::<Value>(&row.body).expect("JSON"), json!({ "weapon": "rifle", "victim": victim }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_whoever_was_erased_or_never_was() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    assert_eq!(report(&harness, &ada.access, &json!([{ "name": "before" }])).await.status, 202);
    kept(&harness, &ada, 1).await;
    let name = pseudonym(&harness, &ada).await.expect("a key");
    let erased = harness.post("/v1/privacy/erase", Some(&ada.access), &json!({ "confirm": ada.id })).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    assert_eq!(report(&harness, &ada.access, &json!([{ "name": "after" }])).await.problem(), "session-ended");
    let stranger = protocol::id::PlayerId::from_entropy([7; 16]);
    let service = service_token(&harness);
    let about = json!([{ "name": "after", "player_id": ada.id }, { "name": "after", "player_id": stranger },
                       { "name": "after", "player_id": bob.id }]);
    let before = counted(&harness, "nobody").await;
    assert_eq!(report(&harness, &service, &about).await.body["accepted"], 3);
    kept(&harness, &bob, 1).await;
    assert_eq!(rows(&log(&harness).await, name, 1).await[0].name, "before");
    assert!(counted(&harness, "nobody").await >= before + 2.0);
}

/// Keeps everybody from writing reports of today, until it ends.
enum Blocked {
    File(sqlx::SqliteConnection),
    Server(sqlx::PgConnection),
}

impl Blocked {
    /// A report must have been kept today: then there is a place to block.
    async fn begin(harness: &Harness) -> Self {
        match &harness.config.database {
            DatabaseLocation::File(path) => {
                let day = metagame::core::telemetry::day::name(service::clock::unix_ms() / 86_400_000);
                let file = path.with_extension("telemetry").join(format!("{day}.db"));
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("the day's file");
                connection.execute("BEGIN IMMEDIATE").await.expect("its lock");
                Self::File(connection)
            }
            DatabaseLocation::Postgres(url) => {
                let url = url.to_string().replace("postgres://", "postgres://postgres@") + "?sslmode=disable";
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("the server");
                let sql = "BEGIN; LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE";
                sqlx::raw_sql(sql).execute(&mut connection).await.expect("its lock");
                Self::Server(connection)
            }
        }
    }

    async fn end(self) {
        match self {
            Self::File(mut connection) => drop(connection.execute("ROLLBACK").await.expect("ended")),
            Self::Server(mut connection) => drop(connection.execute("ROLLBACK").await.expect("ended")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_reports_cannot_be_written_nobody_waits_what_fits_is_kept_and_the_rest_is_counted() {
    let harness = Harness::start_changed(|config, _| config.parts.telemetry.waiting_bytes_max = 1_024).await;
    let ada = harness.login(1).await;
    assert_eq!(report(&harness, &ada.access, &json!([{ "name": "first" }])).await.body["accepted"], 1);
    kept(&harness, &ada, 1).await;
    let blocked = Blocked::begin(&harness).await;
    let before = counted(&harness, "no_room").await;
    let (mut accepted, mut lost) = (0, 0);
    for n in 0..12_u64 {
        let player = harness.login(2 + u8::try_from(n).expect("a few")).await;
        let sent = report(&harness, &player.access, &json!([{ "name": "more" }])).await;
        assert_eq!(sent.status, 202, "{sent:?}");
        accepted += sent.body["accepted"].as_u64().expect("a count");
        lost += sent.body["lost"].as_u64().expect("a count");
        // Play goes on: reading, and writing into the same database.
        let request = harness.request(reqwest::Method::PATCH, "/v1/players/me", Some(&player.access));
        assert_eq!(harness.send(request.json(&json!({ "name": format!("Name {n}") }))).await.status, 200);
    }
    assert!(accepted >= 1 && lost >= 1 && accepted + lost == 12, "{accepted} {lost}");
    assert!(counted(&harness, "no_room").await >= before + lost as f64);
    let said = json!({ "events": [{ "name": "more" }], "lost": 7 });
    let earlier = counted(&harness, "before").await;
    assert_eq!(harness.post("/v1/telemetry:batch", Some(&ada.access), &said).await.status, 202);
    assert!(counted(&harness, "before").await >= earlier + 7.0);
    blocked.end().await;
    let log = log(&harness).await;
    let mut names = Vec::new();
    for n in 0..12_u8 {
        names.push(pseudonym(&harness, &harness.login(2 + n).await).await.expect("a key"));
    }
    until("what was accepted is kept", async || {
        let mut found = 0;
        for name in &names {
            found += log.page(*name, None, 10).await.ok()?.len() as u64;
        }
        (found == accepted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_shutdown_is_kept() {
    let mut harness = Harness::start().await;
    let ada = harness.login(1).await;
    let events: Vec<Value> = (0..50).map(|n| json!({ "name": format!("n{n}") })).collect();
    assert_eq!(report(&harness, &ada.access, &json!(events)).await.body["accepted"], 50);
    harness.stop().await;
    kept(&harness, &ada, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_takes_no_more_than_its_part() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let mut refused = None;
    for _ in 0..40 {
        let sent = report(&harness, &ada.access, &json!([{ "name": "a" }])).await;
        if sent.status != 202 {
            refused = Some(sent);
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert_eq!((refused.status.as_u16(), refused.problem()), (429, "too-many-requests"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(harness.get("/v1/players/me", &ada).await.status, 200, "its other requests are not touched");
}
