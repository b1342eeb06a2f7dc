//! Clients of the GameMesh backend, as they speak: their addresses, their bodies, their WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use metagame::core::leaderboard::Boards;
use metagame::{GameMeshSettings, Rate};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{Answer, Harness};
use super::results::match_id;

const BOARDS: &str = r#"
    [[board]]
    id = "score"
    keep = "sum"
    client_writable = true
    score_max = 1000000
    [[board]]
    id = "last"
    keep = "last"
    client_writable = true
    [[board]]
    id = "servers"
"#;

async fn start(board: &'static str) -> Harness {
    Harness::start_changed(|config, _| {
        config.parts.gamemesh = Some(GameMeshSettings { board: board.to_owned(), queue: None });
        // Tests ask again and again until something has happened.
        config.limits.per_account = Rate { per_second: 10_000.0, burst: 10_000.0 };
        config.parts.boards = Arc::new(Boards::parse(BOARDS).expect("good boards"));
    })
    .await
}

/// A player of their clients.
struct Neo {
    token: String,
    id: String,
}

fn registration(name: &str) -> Value {
    json!({ "username": name, "email": format!("{name}@example.com"), "password": "password123" })
}

async fn login(harness: &Harness, identifier: &str) -> Answer {
    let body = json!({ "identifier": identifier, "password": "password123" });
    harness.post("/api/v1/auth/login", None, &body).await
}

async fn enter(harness: &Harness, name: &str) -> Neo {
    assert_eq!(harness.post("/api/v1/auth/register", None, &registration(name)).await.status, 201);
    let answer = login(harness, name).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.body["player"]["id"].as_str().expect("an id").to_owned();
    Neo { token: answer.text("token").into(), id }
}

async fn send(harness: &Harness, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    harness.send(harness.request(method, path, Some(token)).json(body)).await
}

async fn get(harness: &Harness, path: &str, token: &str) -> Answer {
    harness.send(harness.request(Method::GET, path, Some(token))).await
}

/// The error's status; its body must be `{error}` and nothing else.
fn error(answer: &Answer) -> u16 {
    let body = answer.body.as_object().expect("an object");
    assert!(body.len() == 1 && body["error"].is_string(), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn players_register_log_in_by_name_or_address_and_log_out() {
    let harness = start("score").await;
    let made = harness.post("/api/v1/auth/register", None, &registration("Neo")).await;
    assert_eq!((made.status.as_u16(), made.text("username"), made.text("email")), (201, "Neo", "neo@example.com"));
    assert_eq!(made.body["stats"], json!({ "rank": 1000, "score": 0, "games_played": 0 }));
    assert!(made.text("created_at").ends_with('Z') && made.body.get("password").is_none(), "{made:?}");
    for again in
        [registration("neo"), json!({ "username": "other", "email": "NEO@example.com", "password": "password123" })]
    {
        assert_eq!(error(&harness.post("/api/v1/auth/register", None, &again).await), 409);
    }
    for bad in [
        json!({ "username": "a b", "email": "a@b.example", "password": "password123" }),
        json!({ "username": "ab", "email": "a@b.example", "password": "password123" }),
        json!({ "username": "abc", "email": "nobody", "password": "password123" }),
        json!({ "username": "abc", "email": "a@b.example", "password": "short" }),
        json!({ "username": "abc" }),
    ] {
        assert_eq!(error(&harness.post("/api/v1/auth/register", None, &bad).await), 400, "{bad}");
    }
    for identifier in ["Neo", "nEO", "neo@example.com", "Neo@Example.com"] {
        let answer = login(&harness, identifier).await;
        assert_eq!(answer.body["player"]["id"], made.body["id"], "{identifier}: {answer:?}");
    }
    let unknown = login(&harness, "nobody").await;
    let wrong = json!({ "identifier": "Neo", "password": "password124" });
    let wrong = harness.post("/api/v1/auth/login", None, &wrong).await;
    assert_eq!((error(&unknown), unknown.body), (error(&wrong), wrong.body), "nobody learns who has an account");
    let (one, other) = (login(&harness, "neo").await, login(&harness, "neo").await);
    let (one, other) = (one.text("token").to_owned(), other.text("token").to_owned());
    let out = send(&harness, Method::POST, "/api/v1/auth/logout", &one, &json!({})).await;
    assert_eq!((out.status.as_u16(), out.text("status")), (200, "logged out"));
    assert_eq!(error(&get(&harness, "/api/v1/players/me", &one).await), 401);
    assert_eq!(get(&harness, "/api/v1/players/me", &other).await.status, 200, "the other session goes on");
    for token in ["", "nonsense"] {
        assert_eq!(error(&get(&harness, "/api/v1/players/me", token).await), 401);
    }
    assert_eq!(error(&harness.send(harness.request(Method::GET, "/api/v1/nowhere", None)).await), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_only_written_down_gives_way_to_its_reader_and_is_kept_sealed() {
    let harness = start("score").await;
    enter(&harness, "mallory").await;
    for bytes in harness.database_bytes().await {
        assert!(!bytes.windows(19).any(|window| window == b"mallory@example.com"), "the address is in the database");
    }
    let device = harness.login(7).await;
    assert_eq!(
        get(&harness, "/api/v1/players/me", &device.access).await.text("username"),
        "Player 7",
        "access tokens are taken"
    );
    assert_eq!(
        error(&get(&harness, "/api/v1/players/me", &device.refresh).await),
        401,
        "refresh tokens of others are not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn players_change_their_own_names_alone_and_others_see_no_address() {
    let harness = start("score").await;
    let (neo, smith) = (enter(&harness, "neo").await, enter(&harness, "smith").await);
    let path = format!("/api/v1/players/{}", neo.id);
    let others = get(&harness, &path, &smith.token).await;
    assert_eq!((others.text("username"), others.text("email")), ("neo", ""));
    assert_eq!(error(&send(&harness, Method::PUT, &path, &smith.token, &json!({ "username": "mine" })).await), 403);
    for taken in [json!({ "username": "Smith" }), json!({ "email": "smith@example.com" })] {
        assert_eq!(error(&send(&harness, Method::PUT, "/api/v1/players/me", &neo.token, &taken).await), 409);
    }
    let change = json!({ "username": "trinity", "email": "new@example.com" });
    let changed = send(&harness, Method::PUT, &path, &neo.token, &change).await;
    assert_eq!((changed.text("username"), changed.text("email")), ("trinity", "new@example.com"));
    assert_eq!(login(&harness, "new@example.com").await.status, 200);
    assert_eq!(error(&login(&harness, "neo").await), 401, "the old name leads nowhere");
    assert_eq!(error(&get(&harness, "/api/v1/players/nobody", &neo.token).await), 400);
    let nobody = format!("/api/v1/players/{}", uuid::Uuid::from_u128(7));
    assert_eq!(error(&get(&harness, &nobody, &neo.token).await), 404);
}

async fn score(harness: &Harness, neo: &Neo, score: f64, increment: bool) -> Answer {
    let body = json!({ "score": score, "increment": increment });
    send(harness, Method::POST, "/api/v1/score", &neo.token, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_set_and_added_whatever_the_board_keeps() {
    for board in ["score", "last"] {
        let harness = start(board).await;
        let (neo, smith) = (enter(&harness, "neo").await, enter(&harness, "smith").await);
        for (given, increment, then) in [(150.0, true, 150), (5.0, true, 155), (40.0, false, 40), (-2.0, true, 38)] {
            let answer = score(&harness, &neo, given, increment).await;
            assert_eq!(answer.body, json!({ "player_id": neo.id, "score": then, "rank": 1 }), "{board}");
        }
        assert_eq!(score(&harness, &smith, 39.0, false).await.body["rank"], 1);
        let page = harness.send(harness.request(Method::GET, "/api/v1/leaderboard?offset=1&limit=5", None)).await;
        let second = json!({ "player_id": neo.id, "score": 38, "rank": 2 });
        assert_eq!(page.body, json!({ "entries": [second], "total": 2, "offset": 1, "limit": 5 }));
        let top = harness.send(harness.request(Method::GET, "/api/v1/leaderboard/top/1", None)).await;
        assert_eq!(top.body["entries"][0]["player_id"], smith.id.as_str());
        let path = format!("/api/v1/leaderboard/rank/{}", neo.id);
        assert_eq!(harness.send(harness.request(Method::GET, &path, None)).await.body, second);
        let me = get(&harness, "/api/v1/players/me", &neo.token).await;
        assert_eq!(me.body["stats"]["score"], 38);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_gets_the_name_and_no_increment_is_lost() {
    let harness = start("last").await;
    let made = futures_util::future::join_all((0..4).map(|n| {
        let body = json!({ "username": "neo", "email": format!("neo{n}@example.com"), "password": "password123" });
        let harness = &harness;
        async move { harness.post("/api/v1/auth/register", None, &body).await.status.as_u16() }
    }));
    let mut statuses = made.await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    let answer = login(&harness, "neo").await;
    let neo =
        Neo { token: answer.text("token").into(), id: answer.body["player"]["id"].as_str().expect("an id").into() };
    let added = futures_util::future::join_all((1..=8).map(|n| score(&harness, &neo, f64::from(n), true))).await;
    assert!(added.iter().all(|answer| answer.status == 200), "{added:?}");
    let path = format!("/api/v1/leaderboard/rank/{}", neo.id);
    assert_eq!(harness.send(harness.request(Method::GET, &path, None)).await.body["score"], 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_that_cannot_be_are_refused() {
    let harness = start("score").await;
    let neo = enter(&harness, "neo").await;
    assert_eq!(error(&score(&harness, &neo, 0.5, true).await), 400);
    assert_eq!(error(&score(&harness, &neo, 2e6, true).await), 400);
    for path in ["/api/v1/leaderboard?limit=0", "/api/v1/leaderboard?limit=1001", "/api/v1/leaderboard?offset=-1"] {
        assert_eq!(error(&harness.send(harness.request(Method::GET, path, None)).await), 400, "{path}");
    }
    for path in ["/api/v1/leaderboard/top/0", "/api/v1/leaderboard/top/x", "/api/v1/leaderboard/rank/x"] {
        assert_eq!(error(&harness.send(harness.request(Method::GET, path, None)).await), 400, "{path}");
    }
    let path = format!("/api/v1/leaderboard/rank/{}", neo.id);
    assert_eq!(error(&harness.send(harness.request(Method::GET, &path, None)).await), 404);
    let harness = start("servers").await;
    let neo = enter(&harness, "neo").await;
    assert_eq!(error(&score(&harness, &neo, 1.0, true).await), 403, "the board is not the players'");
}

#[tokio::test(flavor = "multi_thread")]
async fn players_queue_by_the_servers_rating_and_find_their_room() {
    let harness = start("score").await;
    let (neo, smith) = (enter(&harness, "neo").await, enter(&harness, "smith").await);
    let queue =
        async |method, neo: &Neo| send(&harness, method, "/api/v1/queue", &neo.token, &json!({ "rank": 99_000 })).await;
    assert_eq!(error(&queue(Method::DELETE, &neo).await), 404);
    assert_eq!(queue(Method::POST, &neo).await.body, json!({ "status": "queued", "rank": 1000 }));
    assert_eq!(queue(Method::POST, &neo).await.body["status"], "queued", "joining again is joining");
    let status = get(&harness, "/api/v1/queue/status", &neo.token).await;
    assert_eq!(status.body, json!({ "queued": true, "queue_size": 0 }));
    assert_eq!(queue(Method::DELETE, &neo).await.body, json!({ "status": "removed" }));
    assert_eq!(get(&harness, "/api/v1/queue/status", &neo.token).await.body["queued"], false);
    assert_eq!(queue(Method::POST, &neo).await.status, 200);
    let room = complete(&harness, &neo, &smith).await;
    let path = format!("/api/v1/rooms/{room}");
    let found = until("the room is there", async || {
        let answer = get(&harness, &path, &neo.token).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!((found.text("id"), found.text("status")), (room.as_str(), "waiting"));
    assert_eq!(found.body["players"].as_array().map(Vec::len), Some(2));
    assert_eq!(found.body["ranks"][&smith.id], 1000);
    assert_eq!(queue(Method::POST, &neo).await.body["status"], "in_match");
    assert_eq!(error(&queue(Method::DELETE, &neo).await), 404);
    let stranger = enter(&harness, "stranger").await;
    assert_eq!(error(&get(&harness, &path, &stranger.token).await), 403);
    assert_eq!(error(&get(&harness, "/api/v1/rooms/nowhere", &neo.token).await), 404);
}

/// Ends the wait of the first with a match of both.
async fn complete(harness: &Harness, neo: &Neo, smith: &Neo) -> String {
    let (one, other) = (neo.id.parse().expect("an id"), smith.id.parse().expect("an id"));
    let ticket = harness.store().await.last_ticket(one).await.expect("read").expect("a ticket").to_string();
    let room = match_id();
    harness.matchmaker.complete(&ticket, room, &[one, other]);
    room.to_string()
}

/// Their WebSocket, down to the bytes: no library that the server uses as well.
struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    async fn open(address: SocketAddr, query: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).await.expect("metagame listens");
        let head = format!(
            "GET /ws{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        let answer = String::from_utf8(answer).expect("text");
        if answer.starts_with("HTTP/1.1 101") { Ok(Self { stream, read: Vec::new() }) } else { Err(answer) }
    }

    async fn of(harness: &Harness, neo: &Neo) -> Self {
        Self::open(harness.address(), &format!("?token={}", neo.token)).await.expect("a WebSocket")
    }

    async fn say(&mut self, text: &str) {
        let length = u8::try_from(text.len()).expect("a short text");
        let mask = [9, 8, 7, 6];
        let mut frame = vec![0x81, 0x80 | length];
        frame.extend_from_slice(&mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).await.expect("written");
    }

    async fn join(&mut self, room: &str) {
        self.say(&json!({ "action": "join", "room": room }).to_string()).await;
    }

    /// The next message of this type; `None`: the connection is over.
    async fn hear(&mut self, wanted: &str) -> Option<Value> {
        let heard = async {
            loop {
                let (first, payload) = self.frame().await?;
                let message: Value = match first & 0x0F {
                    1 => serde_json::from_slice(&payload).expect("JSON"),
                    8 => return None,
                    _ => continue,
                };
                if message["type"] == wanted {
                    return Some(message);
                }
            }
        };
        tokio::time::timeout(testkit::wait::PATIENCE, heard).await.expect("it comes")
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let (Some(&first), Some(&second)) = (self.read.first(), self.read.get(1)) {
                let (start, length) = match second {
                    126 => (4, self.read.get(2..4).map(|two| usize::from(two[0]) << 8 | usize::from(two[1]))),
                    short => (2, Some(usize::from(short))),
                };
                if let Some(payload) = length.and_then(|length| self.read.get(start..start + length)) {
                    let payload = payload.to_vec();
                    self.read.drain(..start + payload.len());
                    return Some((first, payload));
                }
            }
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
            self.read.extend_from_slice(&some[..count]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_heard_by_those_who_are_in_them() {
    let harness = start("score").await;
    let (neo, smith) = (enter(&harness, "neo").await, enter(&harness, "smith").await);
    for query in ["", "?token=nonsense"] {
        let refused = Socket::open(harness.address(), query).await.err().expect("refused");
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    }
    let (mut one, mut two) = (Socket::of(&harness, &neo).await, Socket::of(&harness, &smith).await);
    one.say("this is no message").await;
    one.join("lobby").await;
    let joined = one.hear("PlayerJoined").await.expect("own joining is heard");
    assert_eq!(joined, json!({ "type": "PlayerJoined", "room": "lobby", "data": { "player_id": neo.id } }));
    two.join("lobby").await;
    assert_eq!(one.hear("PlayerJoined").await.expect("heard")["data"]["player_id"], smith.id.as_str());
    assert_eq!(two.hear("PlayerJoined").await.expect("heard")["data"]["player_id"], smith.id.as_str());
    two.say(r#"{"action":"leave","room":"lobby"}"#).await;
    assert_eq!(one.hear("PlayerLeft").await.expect("heard")["data"]["player_id"], smith.id.as_str());
    two.join("lobby").await;
    one.hear("PlayerJoined").await.expect("heard");
    drop(two);
    assert_eq!(one.hear("PlayerLeft").await.expect("heard")["data"]["player_id"], smith.id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn matches_and_scores_are_heard_over_the_socket() {
    let harness = start("score").await;
    let (neo, smith) = (enter(&harness, "neo").await, enter(&harness, "smith").await);
    let mut one = Socket::of(&harness, &neo).await;
    // Its own joining shows that the connection is served.
    one.join("here").await;
    one.hear("PlayerJoined").await.expect("heard");
    assert_eq!(score(&harness, &smith, 7.0, true).await.status, 200);
    let updated = one.hear("LeaderboardUpdated").await.expect("heard");
    assert_eq!(updated["data"], json!({ "player_id": smith.id, "score": 7, "rank": 1 }));
    let queued = send(&harness, Method::POST, "/api/v1/queue", &neo.token, &json!({ "rank": 1 })).await;
    assert_eq!(queued.status, 200);
    let room = complete(&harness, &neo, &smith).await;
    let found = one.hear("MatchFound").await.expect("heard");
    assert_eq!((&found["room"], &found["data"]["room_id"]), (&json!(room), &json!(room)));
    assert_eq!(found["data"]["players"], json!([neo.id, smith.id]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_there_is_nothing() {
    let harness = Harness::start().await;
    let answer = harness.post("/api/v1/auth/login", None, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (404, "unknown-route"));
}
