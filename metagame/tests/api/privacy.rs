//! Everything about a player in one call, forgotten in another: filled by real use with marked data, looked for in a dump.

use futures_util::future::join_all;
use metagame::args;
use metagame::core::receipt::{SignedReceipt, verify, verify_file};
use metagame::db::{Domain, Sql};
use metagame::store::Store;
use metagame::store::privacy::held::{Erase, HELD, Held, Who};
use metagame::vault::Vault;
use protocol::id::PlayerId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};
use super::results::{match_id, result_of, sign};
use super::telemetry::{kept, log, pseudonym};
use super::whole::{Life, MARK, Whole};

fn trusted(harness: &Harness) -> [u8; 32] {
    let seed = service::key::seed(&harness.config.vault_key_file).expect("the key file");
    Vault::new(&seed).receipts().public_key()
}

fn receipt(answer: &Answer) -> SignedReceipt {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    serde_json::from_value(answer.body.clone()).expect("a receipt")
}

async fn put(harness: &Harness, path: &str, player: &Player) {
    let answer = harness.send(harness.request(Method::PUT, path, Some(&player.access))).await;
    assert!(answer.status.is_success(), "{path} {answer:?}");
}

async fn rename(harness: &Harness, player: &Player, name: &str) {
    let request = harness.request(Method::PATCH, "/v1/players/me", Some(&player.access));
    assert_eq!(harness.send(request.json(&json!({ "name": name }))).await.status, 200);
}

async fn say(harness: &Harness, player: &Player, to: &Player, text: &str) -> Answer {
    let body = json!({ "message_id": uuid::Uuid::from_bytes(service::random::bytes()), "text": text });
    harness.post(&format!("/v1/chat/direct/{}/messages", to.id), Some(&player.access), &body).await
}

async fn play(harness: &Harness, players: &[PlayerId]) {
    let id = match_id();
    let body = sign(&result_of(id, players), service::clock::unix_s());
    let sent =
        harness.post(&format!("/v1/matches/{id}/result"), None, &serde_json::to_value(&body).expect("JSON")).await;
    assert_eq!(sent.status, 200, "{sent:?}");
}

async fn grant(harness: &Harness, player: &Player) {
    let body = json!({ "player_id": player.id, "operator": "ada", "reason": "compensation",
                       "currencies": [{ "currency": "gold", "amount": 500 }] });
    let request =
        reqwest::Client::new().post(harness.admin_url("/grants")).header("idempotency-key", "grant-1").json(&body);
    assert_eq!(harness.send(request).await.status, 200);
}

/// A player who has done a bit of everything, and a friend of it.
async fn lived(harness: &Harness) -> (Player, Player) {
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    rename(harness, &ada, &format!("{MARK} Ada")).await;
    for (own, other) in [(&ada, &bob), (&bob, &ada)] {
        put(harness, &format!("/v1/players/me/friends/{}", other.id), own).await;
    }
    assert_eq!(say(harness, &ada, &bob, &format!("{MARK} hello")).await.status, 200);
    assert_eq!(say(harness, &bob, &ada, "hello yourself").await.status, 200);
    put(harness, &format!("/v1/players/me/mutes/{}", bob.id), &ada).await;
    let party_id = uuid::Uuid::from_bytes(service::random::bytes());
    let party = harness.post("/v1/parties", Some(&ada.access), &json!({ "party_id": party_id })).await;
    assert!(party.status.is_success(), "{party:?}");
    play(harness, &[ada.id, bob.id]).await;
    reported(harness, &ada, &bob).await;
    grant(harness, &ada).await;
    let sanction = json!({ "kind": "mute", "reason": "spam", "note": format!("{MARK} said it"), "for_s": 1 });
    assert_eq!(harness.order(&format!("/players/{}/sanctions", ada.id), &sanction).await.status, 201);
    (ada, bob)
}

/// Reports of the game about both, with names where games put them, and all of them kept.
async fn reported(harness: &Harness, ada: &Player, bob: &Player) {
    let own = json!([
        { "name": "feedback", "body": { "words": format!("{MARK} was here"), "rating": 5 } },
        { "name": "login", "body": { "from": "198.51.100.7", "device": { "owner": format!("{MARK} phone") } } },
    ]);
    let others =
        json!([{ "name": "kill", "body": { "victim": format!("{MARK} Ada"), "victim_id": ada.id, "distance": 12.5 } }]);
    for (player, events) in [(ada, own), (bob, others)] {
        let sent = harness.post("/v1/telemetry:batch", Some(&player.access), &json!({ "events": events })).await;
        assert_eq!((sent.status.as_u16(), &sent.body["lost"]), (202, &json!(0)), "{sent:?}");
    }
    kept(harness, ada, 2).await;
    kept(harness, bob, 1).await;
}

async fn erase(harness: &Harness, player: &Player) -> Answer {
    harness.post("/v1/privacy/erase", Some(&player.access), &json!({ "confirm": player.id })).await
}

/// Whether the mark is anywhere in the database, deleted or not.
async fn finds(harness: &Harness, what: &[u8]) -> bool {
    harness.database_bytes().await.iter().any(|bytes| bytes.windows(what.len()).any(|window| window == what))
}

#[tokio::test]
async fn after_an_erasure_no_personal_byte_is_left_the_books_balance_and_everybody_else_is_whole() {
    let mut harness = Harness::start().await;
    let (ada, bob) = lived(&harness).await;
    let device = metagame::core::device::device_hash(&format!("01{:030x}", 7)).expect("a device id");
    assert!(
        finds(&harness, MARK.as_bytes()).await && finds(&harness, &device.0).await,
        "the test marks what it looks for"
    );
    let reports = pseudonym(&harness, &ada).await.expect("a key");
    let gold = harness.get("/v1/players/me/wallet", &ada).await;
    assert!(gold.body.to_string().contains("gold"), "{gold:?}");

    let signed = receipt(&erase(&harness, &ada).await);
    let said = verify(&signed, &trusted(&harness)).expect("a good receipt");
    assert_eq!((&said["kind"], &said["player_id"]), (&"erasure".into(), &ada.id.to_string().into()));
    assert!(
        said["rows_erased"]["chat_messages.sender_id"] == 1 && said["rows_erased"]["identities.player_id"] == 1,
        "{said}"
    );
    assert_eq!(harness.get("/v1/players/me", &ada).await.problem(), "session-ended");

    let again = harness
        .send(harness.request(
            Method::GET,
            &format!("/v1/privacy/receipts/{}", said["receipt_id"].as_str().expect("an id")),
            None,
        ))
        .await;
    assert_eq!(receipt(&again), signed);
    let public = harness.get(&format!("/v1/players/{}", ada.id), &bob).await;
    assert_eq!(public.problem(), "unknown-player");
    assert_eq!(harness.get("/v1/players/me/friends", &bob).await.body["friends"], json!([]));
    assert_eq!(harness.get("/v1/players/me/matches", &bob).await.body["matches"].as_array().map(Vec::len), Some(1));
    assert!(harness.get("/v1/players/me/wallet", &bob).await.body.to_string().contains("gold"));
    let request = harness.request(Method::PUT, &format!("/v1/players/me/friends/{}", ada.id), Some(&bob.access));
    assert_eq!(harness.send(request).await.status, StatusCode::NOT_FOUND, "nobody befriends who is gone");

    // A result that comes late counts for the other one alone.
    play(&harness, &[ada.id, bob.id]).await;
    assert_eq!(harness.get("/v1/players/me/matches", &bob).await.body["matches"].as_array().map(Vec::len), Some(2));
    // Reports stay, and nothing leads to them: not the account, and not what is reported of it now.
    assert!(said["kept_without_a_person"]["telemetry"].is_string(), "{said}");
    let rows = log(&harness).await.page(reports, None, 10).await.expect("read");
    assert_eq!(
        rows.iter().map(|row| row.name.as_str()).collect::<std::collections::BTreeSet<_>>(),
        ["feedback", "login"].into()
    );
    assert!(rows.iter().all(|row| !row.body.contains(MARK) && !row.body.contains(&ada.id.to_string())));
    assert_eq!(pseudonym(&harness, &ada).await, None, "the key is gone");
    let store = harness.store().await;
    assert!(store.history(ada.id, None, 10).await.expect("read").is_empty());
    assert!(store.xp_mismatches().await.expect("read").is_empty());
    let books = store.verify_ledger().await.expect("verified");
    assert!(books.faults.is_empty(), "{books:?}");
    let acts = store.verify_acts().await.expect("verified");
    assert!(acts.faults.is_empty() && acts.entries >= 2, "{acts:?}");
    store.close().await;

    harness.stop().await;
    assert!(!finds(&harness, MARK.as_bytes()).await, "a personal byte is left");
    assert!(!finds(&harness, &device.0).await, "the device is left");
    // Whoever has the device is somebody new.
    harness.restart().await;
    let new = harness.login(1).await;
    assert_ne!(new.id, ada.id);
}

/// Rows of a line that name the player.
async fn rows(store: &Store, held: &Held, player: PlayerId) -> u64 {
    let read = held.first.strip_prefix("SELECT *").expect("a page of rows");
    let read = read.split(" ORDER BY ").next().expect("where");
    // Test programs are short: what they leak ends with them.
    let sql = Sql::from(&*Box::leak(format!("SELECT count(*){read}").into_boxed_str()));
    let counted = match held.who {
        Who::Bytes => store.database().one(Domain::Operations, sql, args![player]).await,
        Who::Text => store.database().one(Domain::Operations, sql, args![player.to_string()]).await,
        Who::Subject => store.database().one(Domain::Operations, sql, args![format!("player:{player}")]).await,
    };
    counted.expect("a count")
}

/// Lines of which nothing is there before an erasure: they are about it.
const OF_THE_ERASURE: [&str; 2] = ["erasures", "erased_rows"];

#[tokio::test(flavor = "multi_thread")]
async fn of_somebody_who_used_everything_no_table_and_no_dump_holds_a_personal_byte() {
    let mut whole = Whole::start().await;
    let Life { ada, bob, mut secrets } = whole.live().await;
    let export = whole.harness.post("/v1/privacy/export", Some(&ada.access), &json!({})).await;
    assert_eq!(export.status, 200, "{export:?}");
    let device = metagame::core::device::device_hash(&format!("01{:030x}", 7)).expect("a device id");
    secrets.extend([("mark", MARK.into()), ("mark in small letters", MARK.to_lowercase().into_bytes())]);
    secrets.push(("device", device.0.to_vec()));
    let store = whole.harness.store().await;
    for held in HELD.iter().filter(|held| !OF_THE_ERASURE.contains(&held.table)) {
        let (table, column) = (held.table, held.column);
        assert!(
            rows(&store, held, ada.id).await > 0,
            "nothing in {table}.{column}: use it in whole.rs, or this proves nothing"
        );
    }
    store.close().await;

    let said = verify(&receipt(&erase(&whole.harness, &ada).await), &trusted(&whole.harness)).expect("a good receipt");
    let store = whole.harness.store().await;
    for held in HELD {
        let line = format!("{}.{}", held.table, held.column);
        let left = rows(&store, held, ada.id).await;
        match held.erase {
            Erase::Statement(sql) if sql.starts_with("DELETE") => assert_eq!(left, 0, "{line} is left"),
            Erase::Kept(why) => assert_eq!(said["kept_without_a_person"][&line], why),
            _ => {}
        }
    }
    let (books, acts) = (store.verify_ledger().await.expect("verified"), store.verify_acts().await.expect("verified"));
    assert!(books.faults.is_empty() && acts.faults.is_empty(), "{books:?} {acts:?}");
    store.close().await;
    for path in ["/v1/players/me/friends", "/v1/players/me/inbox", "/v1/players/me/party-invites", "/v1/trades"] {
        let seen = whole.harness.get(path, &bob).await;
        assert_eq!(seen.status, 200, "{path}: {seen:?}");
        assert!(!seen.body.to_string().contains(&ada.id.to_string()), "{path}: {seen:?}");
    }
    whole.harness.stop().await;
    let bytes = whole.harness.database_bytes().await;
    for (what, secret) in secrets {
        let is_there = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!bytes.iter().any(is_there), "the dump holds the {what}");
    }
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_continued_with_its_receipt_and_asking_again_gives_the_same() {
    let mut harness = Harness::start().await;
    let (ada, _bob) = lived(&harness).await;
    harness.stop().await;
    // Begun, and then nothing: as after a crash.
    let store = harness.store().await;
    let order = metagame::store::Order {
        actor: "operator:ada".into(),
        reason: "request".into(),
        note: None,
        request_id: "r-1".into(),
        at_ms: service::clock::unix_ms(),
    };
    let receipt_id = uuid::Uuid::from_bytes([5; 16]);
    store.begin_erasure(ada.id, receipt_id, order).await.expect("begun").expect("a player");
    store.close().await;
    harness.restart().await;
    testkit::wait::until("the erasure is finished", async || {
        let path = format!("/v1/privacy/receipts/{receipt_id}");
        let answer = harness.send(harness.request(Method::GET, &path, None)).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    let body = json!({ "reason": "request", "confirm": ada.id });
    let path = format!("/players/{}/erase", ada.id);
    let both = join_all([harness.order(&path, &body), harness.order(&path, &body)]).await;
    for answer in both {
        let said = verify(&receipt(&answer), &trusted(&harness)).expect("a good receipt");
        assert_eq!(said["receipt_id"], receipt_id.to_string());
    }
    harness.stop().await;
    assert!(!finds(&harness, MARK.as_bytes()).await, "a personal byte is left");
}

#[tokio::test]
async fn an_export_has_everything_in_words_no_secret_and_a_receipt_over_it() {
    let harness = Harness::start().await;
    let (ada, bob) = lived(&harness).await;
    let response =
        harness.request(Method::POST, "/v1/privacy/export", Some(&ada.access)).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a body");
    let said = verify_file(&text, &trusted(&harness)).expect("a good receipt");
    let export: Value = serde_json::from_str(&text).expect("JSON");
    let tables = &export["tables"];
    assert_eq!(tables["accounts"][0]["name"], format!("{MARK} Ada"));
    assert_eq!(tables["chat_messages"][0]["body"], format!("{MARK} hello"));
    assert!(!text.contains("hello yourself"), "what others said is theirs");
    assert_eq!(tables["edges"][0]["other_id"], bob.id.to_string());
    assert_eq!(tables["identities"][0]["subject"], "(kept, not shown)");
    assert_eq!(tables["history"].as_array().map(Vec::len), Some(1));
    assert!(tables["postings"].as_array().is_some_and(|rows| rows.iter().any(|row| row["amount"] == 500)), "{tables}");
    assert_eq!(said["rows"]["chat_messages"], 1);
    let reports = tables["telemetry"].as_array().expect("reports");
    assert_eq!((reports.len(), &said["rows"]["telemetry"]), (2, &json!(2)));
    let feedback = reports.iter().find(|one| one["name"] == "feedback").expect("feedback");
    assert_eq!(
        (&feedback["body"], &feedback["texts"]),
        (&json!({ "rating": 5 }), &json!({ "words": format!("{MARK} was here") }))
    );
    let changed = text.replace("hello", "howdy");
    assert!(verify_file(&changed, &trusted(&harness)).is_err());
    let path = format!("/players/{}/export", bob.id);
    let by_operator = harness.order(&path, &json!({ "reason": "court-order" })).await;
    assert_eq!(by_operator.body["tables"]["accounts"][0]["name"], "Player 2");
    let acts = harness.look(&format!("/acts?subject=player:{}", bob.id)).await;
    assert_eq!(
        (&acts.body["acts"][0]["act"], &acts.body["acts"][0]["reason"]),
        (&"export".into(), &"court-order".into())
    );
    harness.shutdown.trigger();
}

#[tokio::test]
async fn nobody_is_forgotten_by_mistake() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let wrong = harness.post("/v1/privacy/erase", Some(&ada.access), &json!({ "confirm": bob.id })).await;
    assert_eq!(wrong.problem(), "not-confirmed");
    let path = format!("/players/{}/erase", ada.id);
    let wrong = harness.order(&path, &json!({ "reason": "request", "confirm": bob.id })).await;
    assert_eq!(wrong.problem(), "not-confirmed");
    assert_eq!(harness.get("/v1/players/me", &ada).await.status, 200);
    harness.shutdown.trigger();
}
