//! Webhooks with the whole platform: every match that is played is told of once.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Running, free_port_pair, muster, run};
use ring::hmac;
use serde_json::Value;

/// `whsec_` and base64 of 32 bytes "k".
const SECRET: &str = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

#[derive(Debug, Clone)]
struct Seen {
    headers: BTreeMap<String, String>,
    body: String,
}

/// A receiver on a thread; it answers 200 to everything.
fn receiver(listener: TcpListener) -> Arc<Mutex<Vec<Seen>>> {
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let all = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = Arc::clone(&all);
            std::thread::spawn(move || serve(&stream, &all));
        }
    });
    seen
}

/// Serves one connection until its end.
fn serve(stream: &TcpStream, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        all.lock().ok()?.push(Seen { headers, body: String::from_utf8(body).ok()? });
        (&*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn secret_file(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("hook.secret");
    std::fs::write(&path, SECRET).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    path
}

/// The body of a delivery whose signature is good.
fn verified(seen: &Seen) -> Value {
    use base64::Engine as _;
    let header = |name: &str| seen.headers[name].as_str();
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), seen.body);
    let signature = header("webhook-signature").strip_prefix("v1,").expect("version 1");
    let signature = base64::engine::general_purpose::STANDARD.decode(signature).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[b'k'; 32]);
    hmac::verify(&key, text.as_bytes(), &signature).expect("a good signature");
    let event: Value = serde_json::from_str(&seen.body).expect("JSON");
    assert_eq!(event["id"], header("webhook-id"));
    event
}

#[test]
fn a_demo_tells_of_each_match_one_start_and_one_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let seen = receiver(listener);
    let args =
        ["demo", "--players=16", "--seconds=8", "--match-seconds=5", "--seed=7", "-o", "json", "--webhook", &url];
    let secret = secret_file(folder.path());
    let output = run(muster().args(args).arg("--webhook-secret-file").arg(secret), Duration::from_secs(180));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");

    let events: Vec<Value> = seen.lock().expect("no panic").iter().map(verified).collect();
    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for event in &events {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let key = (text(&event["data"]["match_id"]), text(&event["type"]));
        ids.entry(key).or_default().insert(text(&event["id"]));
        let data = &event["data"];
        assert_eq!((&data["queue"], &data["region"]), (&"arena-4v4".into(), &"local".into()), "{event}");
        assert!(["build", "server_id", "server_name"].iter().all(|name| data[*name] != ""), "{event}");
        assert_eq!(data["teams"].as_array().map(Vec::len), Some(2), "{event}");
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "one id per fact: {ids:?}");
    let count = |kind: &str| ids.keys().filter(|(_, of)| of == kind).count() as u64;
    let played = report["results_recorded"].as_u64().expect("a number");
    assert!(played >= 2, "{report}");
    assert_eq!((count("match.started"), count("match.ended"), count("match.lost")), (played, played, 0), "{report}");
}

#[test]
fn operators_see_webhooks_by_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = secret_file(folder.path());
    let port = free_port_pair();
    let metagame = Running::start(
        muster()
            .args(["metagame", &format!("--listen=127.0.0.1:{port}"), &format!("--admin=127.0.0.1:{}", port + 1)])
            .args(["--webhook=http://127.0.0.1:9/hush", "--webhook-events=match.ended,match.lost"])
            .arg("--data")
            .arg(folder.path())
            .arg("--webhook-secret-file")
            .arg(&secret),
    );
    testkit::wait::until_blocking("the admin port", || TcpStream::connect(("127.0.0.1", port + 1)).ok());
    let ask = |args: &[&str]| {
        let admin = format!("--admin=http://127.0.0.1:{}", port + 1);
        run(muster().arg("webhooks").args(args).arg(admin), Duration::from_secs(30))
    };
    let said = |args: &[&str]| String::from_utf8(ask(args).stdout).expect("UTF-8");
    let list = said(&["list"]);
    assert!(list.contains("default  working  http://127.0.0.1:9: 0 delivered") && !list.contains("hush"), "{list}");
    assert!(said(&["dead"]).contains("no dead letters"));
    assert!(said(&["resend", "default"]).contains("0 events are sent again"));
    let unknown = ask(&["resend", "ladder"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    metagame.terminate();
    assert!(metagame.finish(Duration::from_secs(60)).status.success());
}

#[test]
fn every_fault_of_the_webhooks_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("webhooks.toml");
    std::fs::write(&file, "[[endpoint]]\nname = \"a\"\nurl = \"gopher://a\"\nsecret_files = [\"none\"]\n")
        .expect("write");
    let output = run(
        muster()
            .args([
                "metagame",
                "--webhook=/hush",
                "--webhook-secret-file=/nowhere/secret",
                "--webhook-events=match.over",
            ])
            .arg("--webhooks")
            .arg(&file)
            .arg("--data")
            .arg(folder.path()),
        Duration::from_secs(30),
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["must begin with", "/nowhere/secret", "match.over", "webhook \"a\"", "openssl rand"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(!told.contains("hush"), "{told}");
}
