//! Webhooks as receivers and operators see them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use metagame::core::match_event::EventKind;
use metagame::core::webhook::Schedule;
use metagame::{EndpointSettings, WebhookTiming, Webhooks, endpoints};
use protocol::id::MatchId;
use protocol::pb::MatchEventKind;
use serde_json::{Value, json};
use testkit::wait::until;

use super::harness::Harness;
use super::results::{match_id, placed, post, result_of, sign};

/// The secret that is new, and the one that it replaces.
const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("ASCII")
    }

    fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

/// How a receiver answers; `None`: never.
type Manners = Arc<dyn Fn(&Seen, usize) -> Option<Response> + Send + Sync>;

/// Somebody who is told.
#[derive(Clone)]
pub(crate) struct Receiver {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    manners: Arc<Mutex<Manners>>,
}

impl Receiver {
    /// Answers by `manners`, which is given the request and how many with its id came before.
    pub(crate) async fn start(manners: impl Fn(&Seen, usize) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hooks?key=hush", listener.local_addr().expect("bound"));
        let manners: Manners = Arc::new(manners);
        let receiver = Self { url, seen: Arc::default(), manners: Arc::new(Mutex::new(manners)) };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    fn behave(&self, manners: impl Fn(&Seen, usize) -> Option<Response> + Send + Sync + 'static) {
        *self.manners.lock().expect("no panic") = Arc::new(manners);
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.seen().iter().map(|seen| serde_json::from_str(&seen.body).expect("JSON")).collect()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.id().to_owned()).collect()
    }

    pub(crate) async fn got(&self, ids: &[String]) {
        let what = format!("{ids:?} at the receiver");
        until(&what, async || ids.iter().all(|id| self.ids().contains(id)).then_some(())).await;
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let seen = Seen { headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") };
    let before = {
        let mut all = receiver.seen.lock().expect("no panic");
        let before = all.iter().filter(|one| one.id() == seen.id()).count();
        all.push(seen.clone());
        before
    };
    let manners = receiver.manners.lock().expect("no panic").clone();
    match manners(&seen, before) {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is the manners of a receiver")]
pub(crate) fn fine(_: &Seen, _: usize) -> Option<Response> {
    Some(StatusCode::NO_CONTENT.into_response())
}

fn status(status: u16) -> Response {
    StatusCode::from_u16(status).expect("a status").into_response()
}

fn secret_file(folder: &Path, n: usize) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(format!("{n}.secret"));
    std::fs::write(&path, SECRETS[n]).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    path
}

/// Endpoints of these names, with both secrets, tried again at once.
pub(crate) fn telling(receivers: &[(&str, &Receiver)], give_up: Duration) -> Webhooks {
    telling_of(receivers, &[], give_up)
}

/// The same, of these events.
pub(crate) fn telling_of(receivers: &[(&str, &Receiver)], events: &[&str], give_up: Duration) -> Webhooks {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret_files = vec![secret_file(folder.path(), 0), secret_file(folder.path(), 1)];
    let settings = receivers.iter().map(|(name, receiver)| EndpointSettings {
        name: (*name).into(),
        url: receiver.url.clone(),
        secret_files: secret_files.clone(),
        events: events.iter().map(|one| (*one).to_owned()).collect(),
    });
    let schedule = Schedule { first: Duration::from_millis(10), max: Duration::from_millis(50), give_up };
    let farewell = Duration::from_millis(200);
    Webhooks {
        endpoints: endpoints(&settings.collect::<Vec<_>>()).expect("good endpoints"),
        // Longer than any test: who never answers stays under way, however slow the machine is.
        timing: WebhookTiming { schedule, farewell, answer: PATIENT, ..WebhookTiming::default() },
    }
}

pub(crate) const PATIENT: Duration = Duration::from_secs(3_600);

/// Ids of start and end of a match.
pub(crate) fn both(match_id: MatchId) -> [String; 2] {
    [EventKind::Started.event_id(match_id), EventKind::Ended.event_id(match_id)]
}

/// A match of two players that only its result tells of.
async fn play(harness: &Harness) -> MatchId {
    let match_id = match_id();
    let players = [[1; 16], [2; 16]].map(protocol::id::PlayerId::from_entropy);
    let body = sign(&result_of(match_id, &players), service::clock::unix_s());
    assert_eq!(post(harness, match_id, &body).await.status, 200);
    match_id
}

async fn admin(harness: &Harness, path: &str) -> Value {
    reqwest::get(harness.admin_url(path)).await.expect("an answer").json().await.expect("JSON")
}

async fn resend(harness: &Harness, body: &Value) -> (u16, Value) {
    let sent = reqwest::Client::new().post(harness.admin_url("/webhooks/resend")).json(body).send().await;
    let answer = sent.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_match_is_told_once_in_order_and_the_page_of_the_book_verifies_it() {
    let receiver = Receiver::start(fine).await;
    let harness = Harness::start_telling(telling(&[("ladder", &receiver)], PATIENT)).await;
    let (alice, bob, match_id) = placed(&harness).await;
    harness.allocator.report(match_id, MatchEventKind::Playing);
    receiver.got(&both(match_id)[..1]).await;
    let body = sign(&result_of(match_id, &[alice.id, bob.id]), service::clock::unix_s());
    assert_eq!(post(&harness, match_id, &body).await.status, 200);
    receiver.got(&both(match_id)).await;
    until("nothing is pending", async || (admin(&harness, "/webhooks").await[0]["pending"] == 0).then_some(())).await;
    assert_eq!(receiver.ids(), both(match_id), "each once, in order");

    let end: Value = serde_json::from_str(&receiver.seen()[1].body).expect("JSON");
    assert_eq!((&end["type"], &end["data"]["region"]), (&"match.ended".into(), &"local".into()));
    assert_eq!(end["data"]["teams"][0]["players"][0]["player_id"], alice.id.to_string());
    for seen in receiver.seen() {
        assert_eq!(seen.header("content-type"), "application/json");
        verify_as_the_book_says(&seen);
    }

    let told = admin(&harness, "/stats").await;
    let ladder = &told["webhooks"][0];
    assert_eq!(
        (&ladder["delivered"], &ladder["dead"], &ladder["condition"]),
        (&2.into(), &0.into(), &"working".into())
    );
    assert!(!told.to_string().contains("hush"), "a URL's path and query are secrets: {told}");
    let metrics = reqwest::get(harness.admin_url("/metrics")).await.expect("metrics").text().await.expect("text");
    assert!(
        metrics.contains("muster_metagame_webhook_tries_total{endpoint=\"ladder\",outcome=\"delivered\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("muster_metagame_webhook_oldest_pending_seconds{endpoint=\"ladder\"}"), "{metrics}");
}

/// Runs the very code of the book's page on a delivery, with either secret, a wrong one, and a changed body.
fn verify_as_the_book_says(seen: &Seen) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src/webhooks.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let code = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its Python");
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<_, _> = names.iter().map(|name| ((*name).into(), seen.header(name).into())).collect();
    let given = json!({ "headers": headers, "body": seen.body, "secrets": SECRETS }).to_string();
    let driver = "import json, sys\n\
                  given = json.loads(sys.argv[1])\n\
                  headers, body = given['headers'], given['body'].encode()\n\
                  for secret in given['secrets']:\n    assert verify([secret], headers, body), secret\n\
                  assert not verify(['whsec_' + base64.b64encode(b'0' * 32).decode()], headers, body)\n\
                  assert not verify(given['secrets'], headers, body + b' ')\n\
                  assert not verify(given['secrets'], {**headers, 'webhook-timestamp': '1'}, body)\n";
    let run = std::process::Command::new("python3").args(["-c", &format!("{code}\n{driver}"), &given]).output();
    let run = run.expect("python3 is installed");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test]
async fn one_match_that_is_refused_keeps_its_order_and_delays_no_other() {
    let receiver = Receiver::start(fine).await;
    let harness = Harness::start_telling(telling(&[("ladder", &receiver)], PATIENT)).await;
    let bad = Arc::new(Mutex::new(String::new()));
    let refused = Arc::clone(&bad);
    receiver.behave(move |seen, _| {
        let is_bad = *refused.lock().expect("no panic") == seen.id() || refused.lock().expect("no panic").is_empty();
        Some(status(if is_bad { 500 } else { 200 }))
    });
    let first = play(&harness).await;
    *bad.lock().expect("no panic") = EventKind::Started.event_id(first);
    receiver.got(&both(first)[..1]).await;
    let second = play(&harness).await;
    receiver.got(&both(second)).await;
    assert!(!receiver.ids().contains(&both(first)[1]), "the end waits for the start");
    *bad.lock().expect("no panic") = "nothing".into();
    receiver.got(&both(first)).await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_delays_neither_another_nor_results() {
    let (silent, lively) = (Receiver::start(|_, _| None).await, Receiver::start(fine).await);
    let harness = Harness::start_telling(telling(&[("silent", &silent), ("lively", &lively)], PATIENT)).await;
    for _ in 0..20 {
        let match_id = play(&harness).await;
        lively.got(&both(match_id)).await;
    }
    assert!(silent.seen().len() <= 8, "bounded: {:?}", silent.ids());
    let told = admin(&harness, "/webhooks").await;
    let pending: Vec<_> = told.as_array().expect("a list").iter().map(|one| (&one["name"], &one["pending"])).collect();
    assert_eq!(pending[1], (&"silent".into(), &40.into()), "{told}");
}

#[tokio::test]
async fn gone_is_believed_until_an_operator_sends_again() {
    let receiver = Receiver::start(|_, _| Some(status(410))).await;
    let harness = Harness::start_telling(telling(&[("ladder", &receiver)], PATIENT)).await;
    let first = play(&harness).await;
    let disabled = async || (admin(&harness, "/webhooks").await[0]["condition"] == "disabled").then_some(());
    until("the endpoint is disabled", disabled).await;
    let second = play(&harness).await;
    receiver.behave(fine);
    assert_eq!(resend(&harness, &json!({ "endpoint": "nobody" })).await.0, 404);
    assert_eq!(receiver.ids(), both(first)[..1], "nothing more was sent");
    assert_eq!(resend(&harness, &json!({ "endpoint": "ladder" })).await, (200, json!({ "events": 0 })));
    receiver.got(&[both(first), both(second)].concat()).await;
}

#[tokio::test]
async fn retry_after_pauses_the_whole_endpoint() {
    let busy = |_: &Seen, _: usize| Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response());
    let (slow, other) = (Receiver::start(busy).await, Receiver::start(fine).await);
    let harness = Harness::start_telling(telling(&[("slow", &slow), ("other", &other)], PATIENT)).await;
    let first = play(&harness).await;
    slow.got(&both(first)[..1]).await;
    until("the answer is noted", async || {
        let told = admin(&harness, "/webhooks").await;
        (told[1]["failures"] == 1).then_some(())
    })
    .await;
    for _ in 0..5 {
        let next = play(&harness).await;
        other.got(&both(next)).await;
    }
    assert_eq!(slow.ids(), both(first)[..1], "one try, then silence");
}

#[tokio::test]
async fn what_is_pending_at_a_restart_is_told_after_it_with_the_same_bytes() {
    let receiver = Receiver::start(|_, _| Some(status(503))).await;
    let mut harness = Harness::start_telling(telling(&[("ladder", &receiver)], PATIENT)).await;
    let match_id = play(&harness).await;
    receiver.got(&both(match_id)[..1]).await;
    harness.stop().await;
    let before = receiver.seen()[0].clone();
    receiver.behave(fine);
    harness.restart().await;
    receiver.got(&both(match_id)).await;
    let again = receiver.seen().into_iter().rfind(|seen| seen.id() == before.id()).expect("told again");
    assert_eq!(again.body, before.body);
    assert_eq!(admin(&harness, "/webhooks").await[0]["dead"], 0);
}

#[tokio::test]
async fn a_dead_letter_is_listed_and_sent_again_on_demand() {
    let receiver = Receiver::start(|_, _| Some(status(500))).await;
    let harness = Harness::start_telling(telling(&[("ladder", &receiver)], Duration::from_millis(50))).await;
    let match_id = play(&harness).await;
    let dead = async || {
        let letters = admin(&harness, "/webhooks/dead").await;
        (letters.as_array().map(Vec::len) == Some(2)).then_some(letters)
    };
    let letters = until("both events are given up", dead).await;
    assert_eq!(
        (&letters[0]["event_id"], &letters[1]["event_id"]),
        (&json!(both(match_id)[0]), &json!(both(match_id)[1]))
    );
    assert_eq!(letters[0]["reason"], "it answered 500");
    receiver.behave(fine);
    let tries = receiver.seen().len();
    let one = json!({ "endpoint": "ladder", "event_id": both(match_id)[1] });
    assert_eq!(resend(&harness, &one).await, (200, json!({ "events": 1 })));
    assert_eq!(resend(&harness, &json!({ "endpoint": "ladder" })).await, (200, json!({ "events": 1 })));
    assert_eq!(resend(&harness, &json!({ "endpoint": "ladder", "event_id": "no" })).await.0, 404);
    until("both are told", async || (receiver.seen().len() == tries + 2).then_some(())).await;
    let none = async || (admin(&harness, "/webhooks/dead").await == json!([])).then_some(());
    until("no letter is left", none).await;
}
