//! What players do: each act has a fresh key and is sent, with the same key, until it is answered for good.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arena::random::Random;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::books::{Answered, Books, Word};
use super::stage::Reach;

/// How long an answer may take over kills and restarts.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);
/// Longest pause between two acts in milliseconds: no player runs into its limit of requests.
const PAUSE_MS_MAX: u32 = 80;

/// A client with its account.
pub(crate) struct Player {
    reach: Reach,
    http: reqwest::Client,
    number: usize,
    device: String,
    id: String,
    access: String,
    random: Random,
    books: Arc<Books>,
}

/// How a request is sent.
pub(crate) struct Sent {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) answer: Value,
}

impl Player {
    /// Logs in, which makes the account.
    pub(crate) async fn enter(reach: &Reach, n: u32, seed: u64, books: &Arc<Books>) -> Self {
        let http = reqwest::Client::builder().timeout(TRY).build().expect("a client");
        let device = format!("{:016x}{n:016x}", seed | 1);
        let mut player = Self {
            reach: reach.clone(),
            http,
            number: n as usize,
            device,
            id: String::new(),
            access: String::new(),
            random: Random::new(seed),
            books: Arc::clone(books),
        };
        player.log_in().await;
        player
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    async fn log_in(&mut self) {
        let (body, url) = (json!({ "device_id": self.device }), format!("{}/v1/auth/device", self.reach.api));
        let deadline = Instant::now() + ANSWERED_WITHIN;
        loop {
            let answer = self.http.post(&url).json(&body).send().await;
            if let Ok(answer) = answer.and_then(reqwest::Response::error_for_status)
                && let Ok(session) = answer.json::<Value>().await
            {
                self.access = session["access_token"].as_str().expect("a token").to_owned();
                self.id = session["player_id"].as_str().expect("an id").to_owned();
                return;
            }
            assert!(Instant::now() < deadline, "nobody can log in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Plays until the end; the player, for the audit.
    pub(crate) async fn play(mut self, ids: Vec<String>) -> Self {
        while !self.books.end.load(Ordering::Relaxed) {
            if let Some(word) = self.books.next_word(&self.id) {
                self.answer(word).await;
                continue;
            }
            let other = ids[self.random.below(ids.len() as u32) as usize].clone();
            match self.random.below(10) {
                0 | 1 => self.get().await,
                2 => self.buy("potions").await,
                3 => self.buy("sword").await,
                4 => self.buy("last").await,
                5 => self.use_up("consume", "potion").await,
                6 => {
                    let item = ["potion", "sword"][self.random.below(2) as usize];
                    self.use_up("disenchant", item).await;
                }
                7 => self.gift(&other).await,
                8 => self.forge().await,
                _ => self.offer(&other).await,
            }
            let pause = Duration::from_millis(u64::from(self.random.below(PAUSE_MS_MAX)));
            tokio::time::sleep(pause).await;
        }
        self
    }

    /// An operator gives something.
    async fn get(&mut self) {
        let amount = 1 + i64::from(self.random.below(40));
        let body = json!({ "player_id": self.id, "operator": "grace", "reason": "a test",
                           "currencies": [{ "currency": "gold", "amount": amount }, { "currency": "gems", "amount": 1 }],
                           "items": [{ "item": "shard", "quantity": 1 }] });
        let id = self.id.clone();
        if self.act(true, "/grants", body).await.has_happened() {
            self.books.moves(&id, "gold", amount);
            self.books.moves(&id, "gems", 1);
            self.books.moves(&id, "shard", 1);
        }
    }

    async fn buy(&mut self, offer: &str) {
        let quantity = 1 + self.random.below(2);
        let done = self.act(false, "/v1/store/purchases", json!({ "offer": offer, "quantity": quantity })).await;
        if done.has_happened() {
            let receipt = &done.answer;
            let (currency, paid) = (receipt["currency"].as_str(), receipt["paid"].as_i64());
            self.books.moves(&self.id, currency.expect("a currency"), -paid.expect("a price"));
            self.books.currencies(&self.id, &receipt["currencies"], 1);
            self.books.items(&self.id, &receipt["items"], 1);
        }
    }

    async fn use_up(&mut self, act: &str, item: &str) {
        let Some(item_id) = self.find(item).await else { return };
        let done = self.act(false, &format!("/v1/inventory/{act}"), json!({ "item_id": item_id, "quantity": 1 })).await;
        self.acted(&done, None);
    }

    async fn gift(&mut self, to: &str) {
        let Some(item_id) = self.find("potion").await else { return };
        let done = self.act(false, "/v1/inventory/gift", json!({ "to": to, "item_id": item_id, "quantity": 1 })).await;
        self.acted(&done, Some(to));
    }

    async fn forge(&mut self) {
        let done = self.act(false, "/v1/inventory/craft", json!({ "recipe": "forge" })).await;
        self.acted(&done, None);
    }

    /// Notes what an act has moved; what it gives goes `to` another player.
    fn acted(&self, done: &Answered, to: Option<&str>) {
        if done.has_happened() {
            self.books.items(&self.id, &done.answer["taken"], -1);
            self.books.items(to.unwrap_or(&self.id), &done.answer["given"], 1);
            self.books.currencies(&self.id, &done.answer["currencies"], 1);
        }
    }

    /// Offers a potion for gold.
    async fn offer(&mut self, to: &str) {
        let Some(item_id) = self.find("potion").await else { return };
        let gives = json!({ "items": [{ "item_id": item_id, "quantity": 1 }] });
        let offer = self.act(false, "/v1/trades", json!({ "to": to, "gives": gives })).await;
        if offer.has_happened() {
            self.books.items(&self.id, &offer.answer["gives"]["items"], -1);
            let trade = offer.answer["trade_id"].as_str().expect("a trade").to_owned();
            self.books.hand(to, Word { trade, from: self.id.clone(), is_accepted: false });
        }
    }

    /// Says the next word to a trade that waits for it; now and then it is no.
    async fn answer(&mut self, said: Word) {
        let path = |word: &str| format!("/v1/trades/{}/{word}", said.trade);
        if self.random.below(4) > 0 && !said.is_accepted {
            let takes = json!({ "currencies": [{ "currency": "gold", "amount": 1 + self.random.below(9) }] });
            let accepted = self.act(false, &path("accept"), takes).await;
            if accepted.has_happened() {
                self.books.currencies(&self.id, &accepted.answer["takes"]["currencies"], -1);
                self.books.hand(&said.from, Word { from: self.id.clone(), is_accepted: true, ..said });
                return;
            }
        }
        let confirms = said.is_accepted && self.random.below(4) > 0;
        let end = self.act(false, &path(if confirms { "confirm" } else { "cancel" }), Value::Null).await;
        assert!(end.has_happened(), "an open trade has no end: {end:?}");
        let (from, to) = (end.answer["from"].as_str().expect("a player"), end.answer["to"].as_str().expect("a player"));
        let (gets, pays) = if confirms { (to, from) } else { (from, to) };
        self.books.items(gets, &end.answer["gives"]["items"], 1);
        self.books.currencies(pays, &end.answer["takes"]["currencies"], 1);
    }

    /// The id of one of these that the player has.
    async fn find(&mut self, item: &str) -> Option<String> {
        let page = self.read("/v1/players/me/inventory?limit=200").await;
        let items = page["items"].as_array().expect("a list");
        let found = items.iter().find(|one| one["item"] == item)?;
        Some(found["item_id"].as_str().expect("an id").to_owned())
    }

    /// An address, read as soon as that is possible.
    pub(crate) async fn read(&mut self, path: &str) -> Value {
        let deadline = Instant::now() + ANSWERED_WITHIN;
        loop {
            let sent = self.http.get(format!("{}{path}", self.reach.api)).bearer_auth(&self.access).send().await;
            if let Ok(answer) = sent {
                if answer.status() == 401 {
                    self.log_in().await;
                } else if answer.status().is_success()
                    && let Ok(body) = answer.json().await
                {
                    return body;
                }
            }
            assert!(Instant::now() < deadline, "{path} cannot be read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Does something under a fresh key.
    async fn act(&mut self, is_admin: bool, path: &str, body: Value) -> Answered {
        let key = format!("{:016x}", self.random.next_u64());
        let deadline = Instant::now() + ANSWERED_WITHIN;
        let mut sent = 0;
        loop {
            sent += 1;
            if let Some(Sent { status, answer, .. }) = self.send(is_admin, path, &key, &body).await {
                let (player, path) = (self.number, path.to_owned());
                let done = Answered { player, is_admin, path, key, body, status, answer, sent };
                self.books.note(done.clone());
                return done;
            }
            assert!(Instant::now() < deadline, "{path} is not answered");
            tokio::time::sleep(Duration::from_millis(10 + u64::from(self.random.below(30)))).await;
        }
    }

    /// Sends a request once. `None`: that is no answer, and the client has to ask again.
    pub(crate) async fn send(&mut self, is_admin: bool, path: &str, key: &str, body: &Value) -> Option<Sent> {
        let base = if is_admin { &self.reach.admin } else { &self.reach.api };
        let mut request = self.http.post(format!("{base}{path}")).header("idempotency-key", key);
        if !is_admin {
            request = request.bearer_auth(&self.access);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        self.books.under_way().fetch_add(1, Ordering::Relaxed);
        let answer = async {
            let answer = request.send().await.ok()?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Some(Sent { status, headers, answer: answer.json().await.ok()? })
        };
        let answer = answer.await;
        self.books.under_way().fetch_sub(1, Ordering::Relaxed);
        let sent = answer?;
        let is_under_way = sent.answer["type"] == "urn:muster:problem:request-in-flight";
        match sent.status {
            401 => {
                self.log_in().await;
                None
            }
            429 | 500.. => None,
            _ if is_under_way => None,
            _ => Some(sent),
        }
    }
}
