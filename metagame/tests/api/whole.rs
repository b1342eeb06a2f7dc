//! A metagame of which every part is there, and a player who has used them all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metagame::core::catalog::file;
use metagame::core::kv::Collections;
use metagame::core::leaderboard::Boards;
use metagame::core::progression::file::parse;
use metagame::{Config, Limits, Rate};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::economy::{give_gold, grant};
use super::harness::{Answer, Harness, Player};
use super::identities::secret;
use super::live::live;
use super::passkeys::{Authenticator, add, lines};
use super::passwords::{code, mail, with_mail};
use super::results::{match_id, placed, post, result_of, sign};
use super::vouchers::{FakeProvider, FakeSteam, settings};
use super::{checkout, live as anti_cheat};

/// What everything personal is marked with.
pub(crate) const MARK: &str = "Zyxwmark";
pub(crate) const EMAIL: &str = "zyxwmark@example.org";
pub(crate) const STEAM_ID: u64 = 76_561_197_960_287_930;

const COLLECTIONS: &str = r#"
    [[collection]]
    id = "saves"
    [[collection]]
    id = "cards"
    read = "public"
"#;

const BOARDS: &str = r#"
    [[board]]
    id = "open"
    client_writable = true
"#;

/// A metagame, and the Steam that it asks.
pub(crate) struct Whole {
    pub(crate) harness: Harness,
    steam: FakeSteam,
}

/// Somebody who has used everything, a friend, and another one.
pub(crate) struct Life {
    pub(crate) ada: Player,
    pub(crate) bob: Player,
    /// What proves to be Ada, or is only hers, as bytes that must not be found anywhere.
    pub(crate) secrets: Vec<(&'static str, Vec<u8>)>,
}

impl Whole {
    pub(crate) async fn start() -> Self {
        let (steam, (_provider, oidc)) = (FakeSteam::default(), FakeProvider::start().await);
        let lines = format!("{}{oidc}{}", steam.start().await, lines());
        let stripe = checkout::FakeStripe::default().serve().await;
        let harness = Harness::start_changed(|config, folder| {
            config.identity = settings(folder, &lines);
            config.identity.mail = with_mail(folder).mail;
            config.parts.economy.stripe = Some(checkout::settings(folder, &stripe));
            game(config, folder);
        })
        .await;
        Self { harness, steam }
    }

    async fn send(&self, method: Method, path: &str, player: &Player, body: &Value) -> Answer {
        let key = hex::encode(service::random::bytes::<16>());
        let request = self.harness.request(method, path, Some(&player.access)).header("idempotency-key", key);
        let answer = self.harness.send(request.json(body)).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer
    }

    async fn put(&self, path: &str, player: &Player, body: &Value) {
        self.send(Method::PUT, path, player, body).await;
    }

    async fn ask(&self, path: &str, player: &Player, body: &Value) -> Answer {
        self.send(Method::POST, path, player, body).await
    }

    /// Uses everything, as Ada.
    pub(crate) async fn live(&self) -> Life {
        let (ada, bob) = self.play().await;
        let carol = self.harness.login(3).await;
        self.own(&ada, &bob).await;
        self.talk(&ada, &bob, &carol).await;
        self.answer_to_operators(&ada).await;
        let (ada, secrets) = self.prove(&ada).await;
        Life { ada, bob, secrets }
    }

    /// Matches, and what they give.
    async fn play(&self) -> (Player, Player) {
        let (ada, bob, first) = placed(&self.harness).await;
        self.send(Method::PATCH, "/v1/players/me", &ada, &json!({ "name": format!("{MARK} Ada") })).await;
        for id in [first, match_id(), match_id(), match_id()] {
            let signed = sign(&result_of(id, &[ada.id, bob.id]), service::clock::unix_s());
            assert_eq!(post(&self.harness, id, &signed).await.status, 200);
        }
        self.ask("/v1/progression/levels/2/claim", &ada, &json!({})).await;
        self.ask("/v1/progression/unlocks/pistol", &ada, &json!({})).await;
        self.ask("/v1/leaderboards/open/entries", &ada, &json!({ "score": 5 })).await;
        // The next match is waited for.
        self.harness.queue(&ada).await;
        (ada, bob)
    }

    /// Money, goods, values.
    async fn own(&self, ada: &Player, bob: &Player) {
        for player in [ada, bob] {
            give_gold(&self.harness, player, 1_000).await;
            let goods = json!({ "player_id": player.id, "operator": "grace", "reason": "a test",
                                "items": [{ "item": "sword", "quantity": 2 }, { "item": "potion", "quantity": 500 }] });
            assert_eq!(grant(&self.harness, &player.id.to_string(), &goods).await.status, 200);
        }
        self.ask("/v1/store/purchases", ada, &json!({ "offer": "daily" })).await;
        self.put("/v1/store/region", ada, &json!({ "region": "BR" })).await;
        self.ask("/v1/store/checkout", ada, &json!({ "offer": "gems-100" })).await;
        for (from, to) in [(ada, bob), (bob, ada)] {
            let gives = json!({ "currencies": [{ "currency": "gold", "amount": 7 }] });
            self.ask("/v1/trades", from, &json!({ "to": to.id, "gives": gives })).await;
        }
        let bag = self.harness.get("/v1/players/me/inventory", ada).await;
        let sword = bag.body["items"].as_array().expect("items").iter().find(|item| item["item"] == "sword");
        let hand = json!({ "items": { "hand": sword.expect("a sword")["item_id"] } });
        self.put("/v1/players/me/loadouts/duel", ada, &hand).await;
        self.put("/v1/kv/saves/slot-1", ada, &json!({ "diary": format!("{MARK} was here") })).await;
    }

    /// Friends, a party, chat.
    async fn talk(&self, ada: &Player, bob: &Player, carol: &Player) {
        for (own, other) in [(ada, bob), (bob, ada), (carol, ada), (ada, carol)] {
            self.put(&format!("/v1/players/me/friends/{}", other.id), own, &json!({})).await;
        }
        for (own, other) in [(ada, carol), (bob, ada)] {
            self.put(&format!("/v1/players/me/mutes/{}", other.id), own, &json!({})).await;
        }
        self.put("/v1/presence", ada, &json!({ "status": "online", "text": format!("{MARK} is here") })).await;
        let party = |n: u8| json!({ "party_id": Uuid::from_bytes([n; 16]), "open": true });
        self.ask("/v1/parties", carol, &party(1)).await;
        self.ask("/v1/parties/me/invites", carol, &json!({ "player_id": ada.id })).await;
        // Who waits for a match alone makes no party.
        let waiting = self.harness.get("/matchmaking/status", ada).await;
        self.send(Method::DELETE, &format!("/v1/tickets/{}", waiting.text("ticket_id")), ada, &json!({})).await;
        self.ask("/v1/parties", ada, &party(2)).await;
        self.ask("/v1/parties/me/invites", ada, &json!({ "player_id": bob.id })).await;
        let text = |what: &str| json!({ "message_id": Uuid::from_bytes(service::random::bytes()), "text": what });
        let said = text(&format!("{MARK} hello"));
        self.ask(&format!("/v1/chat/direct/{}/messages", bob.id), ada, &said).await;
        self.ask(&format!("/v1/chat/direct/{}/messages", ada.id), bob, &text("hello yourself")).await;
        let party = Uuid::from_bytes([2; 16]);
        self.ask(&format!("/v1/chat/party/{party}/messages"), ada, &text(&format!("{MARK} waits"))).await;
    }

    /// A mute and an appeal, a verdict of the anti-cheat.
    async fn answer_to_operators(&self, ada: &Player) {
        let mute = json!({ "kind": "mute", "reason": "spam", "note": format!("{MARK} said it"), "for_s": 600 });
        let muted = self.harness.order(&format!("/players/{}/sanctions", ada.id), &mute).await;
        assert_eq!(muted.status, 201, "{muted:?}");
        let appeal = json!({ "text": format!("{MARK}: it was my brother") });
        let path = format!("/v1/sanctions/{}/appeal", muted.text("sanction_id"));
        assert_eq!(self.harness.post(&path, None, &appeal).await.status, 202);
        let said = json!({ "player_id": ada.id, "verdict": "suspicious", "reason": format!("{MARK} aims too well") });
        let told = anti_cheat::tell(&self.harness, "m1", service::clock::unix_s(), &said, None).await;
        assert_eq!(told.status, 200, "{told:?}");
    }

    /// Ways to log in, second factors, mail that is on its way; a session with all rights.
    async fn prove(&self, ada: &Player) -> (Player, Vec<(&'static str, Vec<u8>)>) {
        let (mut read, phone) = (BTreeSet::new(), Authenticator::new());
        let password = json!({ "email": EMAIL, "password": "tenacious badger" });
        let sent = self.ask("/v1/players/me/identities/password", ada, &password).await;
        let typed = json!({ "code_id": sent.text("code_id"), "code": code(&mail(&self.harness, &mut read).await.1) });
        self.ask("/v1/players/me/identities/password/verify", ada, &typed).await;
        self.ask("/v1/players/me/identities/steam", ada, &json!({ "ticket": self.steam.ticket(STEAM_ID) })).await;
        let session = self.harness.post("/v1/auth/password", None, &password).await;
        assert_eq!(session.status, 200, "{session:?}");
        let change = json!({ "current_password": password["password"], "new_password": "tenacious ferret" });
        self.ask("/v1/auth/password/change", ada, &change).await;
        // All other sessions have ended with that; hers goes on.
        let added = add(&self.harness, &ada.access, &phone).await;
        assert_eq!(added.status, 200, "{added:?}");
        let ada = Player { access: added.text("access_token").into(), ..ada.clone() };
        let app = self.ask("/v1/auth/mfa/totp", &ada, &json!({})).await;
        let seed = secret(&app);
        self.ask("/v1/auth/mfa/totp/confirm", &ada, &json!({ "code": seed.code(service::clock::unix_s()) })).await;
        self.ask("/v1/auth/mfa/webauthn", &ada, &json!({})).await;
        // From now on no mail leaves.
        let folder = self.harness.folder.path().join("mail");
        std::fs::rename(&folder, folder.with_extension("before")).expect("the folder");
        std::fs::write(&folder, "").expect("a file in its place");
        assert_eq!(self.harness.post("/v1/auth/password/forgot", None, &json!({ "email": EMAIL })).await.status, 202);
        let secrets = vec![
            ("authenticator app", seed.0.to_vec()),
            ("authenticator app in words", app.text("secret").into()),
            ("passkey", phone.id.clone()),
            ("passkey in words", URL_SAFE_NO_PAD.encode(&phone.id).into_bytes()),
            ("Steam id", STEAM_ID.to_string().into_bytes()),
            ("address", EMAIL.into()),
        ];
        (ada, secrets)
    }
}

/// Rules, goods and boards, and no limits of rate.
fn game(config: &mut Config, folder: &Path) {
    let goods = concat!(include_str!("../economy/catalog.toml"), "[[item]]\nid = \"pass\"\nstacks = true\n");
    let catalog = file::parse(goods).expect("a catalog");
    let rules = include_str!("../players/progression.toml")
        .replace("2026-11-01T", "2020-11-01T")
        .replace("2026-12-01T", "2120-12-01T");
    config.parts.progression = parse(&rules, &catalog).expect("rules").into();
    config.parts.economy.catalog = Arc::new(catalog);
    config.parts.collections = Arc::new(Collections::parse(COLLECTIONS).expect("collections"));
    config.parts.boards = Arc::new(Boards::parse(BOARDS).expect("boards"));
    config.parts.live = live(folder);
    let endless = Rate { per_second: 1e9, burst: 1e9 };
    config.limits = Limits { per_address: endless, per_account: endless, ..Limits::default() };
}
