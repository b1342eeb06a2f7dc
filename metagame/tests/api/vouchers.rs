//! Those who vouch for players, as a test tells them: a Steam, and an identity provider.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use metagame::{IdentitySettings, read_identity};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Settings from a file with these lines; the file `secret` holds "hush".
pub(crate) fn settings(folder: &Path, text: &str) -> IdentitySettings {
    std::fs::write(folder.join("secret"), "hush\n").expect("write");
    let path = folder.join("identity.toml");
    std::fs::write(&path, text).expect("write");
    read_identity(&path).expect("good settings")
}

/// Serves until the end of the test; where.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

type Fields = BTreeMap<String, String>;

/// A Steam that answers what a test says, ticket by ticket; it refuses all others.
#[derive(Clone, Default)]
pub(crate) struct FakeSteam(Arc<Mutex<Steam>>);

#[derive(Default)]
struct Steam {
    /// Steam id, owner, and whether Valve and the publisher have banned it.
    tickets: BTreeMap<String, (u64, u64, bool, bool)>,
    /// Instead of any answer.
    status: Option<StatusCode>,
    asked: Vec<Fields>,
}

impl FakeSteam {
    /// Serves; the lines of the settings that name it.
    pub(crate) async fn start(&self) -> String {
        let router = Router::new()
            .route("/ISteamUserAuth/AuthenticateUserTicket/v1/", get(authenticate))
            .with_state(self.clone());
        let address = serve(router).await;
        format!(
            "[steam]\napp_id = 480\npublisher_key_file = \"secret\"\nidentity = \"arena\"\naddress = \"{address}\"\n"
        )
    }

    fn lock(&self) -> MutexGuard<'_, Steam> {
        self.0.lock().expect("no panic under the lock")
    }

    /// A new ticket of this account.
    pub(crate) fn ticket(&self, steam_id: u64) -> String {
        self.ticket_of((steam_id, steam_id, false, false))
    }

    /// A new ticket; see `tickets`.
    pub(crate) fn ticket_of(&self, owner: (u64, u64, bool, bool)) -> String {
        let ticket = hex::encode(service::random::bytes::<32>());
        self.lock().tickets.insert(ticket.clone(), owner);
        ticket
    }

    /// Answers every ticket so.
    pub(crate) fn answer(&self, status: Option<u16>) {
        self.lock().status = status.map(|status| StatusCode::from_u16(status).expect("a status"));
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<Fields> {
        self.lock().asked.clone()
    }
}

async fn authenticate(State(steam): State<FakeSteam>, Query(fields): Query<Fields>) -> Response {
    let mut steam = steam.lock();
    let ticket = fields.get("ticket").cloned().unwrap_or_default();
    steam.asked.push(fields);
    if let Some(status) = steam.status {
        return status.into_response();
    }
    let response = match steam.tickets.get(&ticket) {
        Some((id, owner, vac, publisher)) => json!({ "params": {
            "result": "OK", "steamid": id.to_string(), "ownersteamid": owner.to_string(),
            "vacbanned": vac, "publisherbanned": publisher,
        } }),
        None => json!({ "error": { "errorcode": 101, "errordesc": "Invalid ticket" } }),
    };
    Json(json!({ "response": response })).into_response()
}

/// An identity provider.
#[derive(Clone)]
pub(crate) struct FakeProvider(Arc<Mutex<State_>>);

struct State_ {
    issuer: String,
    seed: u8,
    /// For ES256.
    elliptic: EcdsaKeyPair,
    codes: BTreeMap<String, Grant>,
    is_down: bool,
    reads: BTreeMap<&'static str, usize>,
}

/// What a player has agreed to in the browser.
struct Grant {
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

/// Client id and secret that it knows.
pub(crate) const CLIENT: &str = "arena";

impl FakeProvider {
    /// Serves; with the lines of the settings that name it.
    pub(crate) async fn start() -> (Self, String) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let elliptic = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        let state = State_ {
            issuer: String::new(),
            seed: 1,
            elliptic: elliptic.expect("its own key"),
            codes: BTreeMap::new(),
            is_down: false,
            reads: BTreeMap::new(),
        };
        let provider = Self(Arc::new(Mutex::new(state)));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(provider.clone());
        let issuer = serve(router).await;
        provider.lock().issuer.clone_from(&issuer);
        let lines = format!(
            "[[oidc]]\nname = \"studio\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\nclient_secret_file = \"secret\"\n\
             native_client_ids = [\"arena-phone\"]\nscopes = [\"openid\", \"email\"]\n\
             redirect_uris = [\"http://127.0.0.1/back\"]\n"
        );
        (provider, lines)
    }

    fn lock(&self) -> MutexGuard<'_, State_> {
        self.0.lock().expect("no panic under the lock")
    }

    /// What a good token of `subject` says.
    pub(crate) fn claims(&self, subject: &str, nonce: &str) -> Value {
        let now_s = service::clock::unix_s();
        json!({
            "iss": self.lock().issuer, "sub": subject, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": nonce,
            "email": format!("{subject}@example.org"), "email_verified": true,
        })
    }

    /// Signs with the key of now.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let seed = self.lock().seed;
        sign(&json!({ "alg": "EdDSA", "kid": format!("key-{seed}") }), claims, seed)
    }

    /// Signs with the other kind of key.
    pub(crate) fn sign_elliptic(&self, claims: &Value) -> String {
        let signed = signed_part(&json!({ "alg": "ES256", "kid": "elliptic" }), claims);
        let signature = self.lock().elliptic.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// Replaces the key.
    pub(crate) fn rotate(&self) {
        self.lock().seed += 1;
    }

    /// Answers everything by 503, or not any more.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// How often something was read.
    pub(crate) fn reads(&self, what: &str) -> usize {
        self.lock().reads.get(what).copied().unwrap_or_default()
    }

    /// A player logs in at this address, and the browser goes back with a code.
    pub(crate) fn agree(&self, authorization_url: &str, subject: &str) -> Back {
        let url: axum::http::Uri = authorization_url.parse().expect("a URL");
        let Query(query) = Query::<Fields>::try_from_uri(&url).expect("a query");
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
        assert_eq!((query["scope"].as_str(), query["code_challenge_method"].as_str()), ("openid email", "S256"));
        let code = hex::encode(service::random::bytes::<8>());
        let claims = self.claims(subject, &query["nonce"]);
        let (challenge, redirect_uri) = (query["code_challenge"].clone(), query["redirect_uri"].clone());
        self.lock().codes.insert(code.clone(), Grant { challenge, redirect_uri, claims });
        Back { code, state: query["state"].clone() }
    }
}

/// What comes back with the browser.
pub(crate) struct Back {
    pub(crate) code: String,
    pub(crate) state: String,
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token with this header, signed by the Ed25519 key of this seed.
pub(crate) fn sign(header: &Value, claims: &Value, seed: u8) -> String {
    let signed = signed_part(header, claims);
    let signature = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed").sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

async fn metadata(State(provider): State<FakeProvider>) -> Response {
    let mut state = provider.lock();
    *state.reads.entry("metadata").or_default() += 1;
    let issuer = &state.issuer;
    answer(state.is_down, || {
        json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/login"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        })
    })
}

async fn keys(State(provider): State<FakeProvider>) -> Response {
    let mut state = provider.lock();
    *state.reads.entry("keys").or_default() += 1;
    let pair = Ed25519KeyPair::from_seed_unchecked(&[state.seed; 32]).expect("a seed");
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = state.elliptic.public_key().as_ref();
    answer(state.is_down, || {
        json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": format!("key-{}", state.seed), "x": encode(pair.public_key().as_ref()) },
        { "kty": "EC", "crv": "P-256", "kid": "elliptic", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
    ] })
    })
}

fn answer(is_down: bool, body: impl FnOnce() -> Value) -> Response {
    if is_down { StatusCode::SERVICE_UNAVAILABLE.into_response() } else { Json(body()).into_response() }
}

async fn token(State(provider): State<FakeProvider>, headers: HeaderMap, body: Bytes) -> Response {
    let url = format!("/?{}", String::from_utf8_lossy(&body)).parse().expect("a form");
    let Query(form) = Query::<Fields>::try_from_uri(&url).expect("a form");
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:hush")));
    if headers.get("authorization").is_none_or(|value| value != &basic) {
        return refused("invalid_client");
    }
    let Some(grant) = form.get("code").and_then(|code| provider.lock().codes.remove(code)) else {
        return refused("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    if challenge != grant.challenge || form["redirect_uri"] != grant.redirect_uri {
        return refused("invalid_grant");
    }
    Json(json!({ "access_token": "for nobody", "token_type": "Bearer", "id_token": provider.sign(&grant.claims) }))
        .into_response()
}
