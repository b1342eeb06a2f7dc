//! A real server and QUIC clients of other makes: Python's aioquic, written from the book alone.
//!
//! `cargo xtask test` installs aioquic into `target/python`; by hand: `pip install --target target/python aioquic`.

mod support;

use std::process::Stdio;

use support::{Stage, assign, match_id, player_id, token};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_written_from_the_book_joins_over_quic_and_receives_snapshots() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python)
        .args(["-c", "import aioquic"])
        .env("PYTHONPATH", format!("{ROOT}/target/python"))
        .output()
        .await
        .expect("python3 is installed");
    assert!(import.status.success(), "aioquic is missing: pip install --target target/python aioquic");

    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1, 2], r#"{"ticks": 100000}"#)).await;
    let order = serde_json::json!({
        "address": running.udp.ip().to_string(),
        "port": running.udp.port(),
        "fingerprints": server.quic_fingerprints.iter().map(hex::encode).collect::<Vec<_>>(),
        "schema_hash": server.schema_hash,
        "routing_token": hex::encode(&server.routing_token),
        "join_token": token(&running, id, player_id(1)),
        "snapshots": 60,
    });
    let mut child = Command::new(&python)
        .arg(format!("{ROOT}/interop/quic_client.py"))
        .env("PYTHONPATH", format!("{ROOT}/target/python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(order.to_string().as_bytes()).await.expect("written");
    drop(stdin);
    let output = tokio::time::timeout(testkit::wait::PATIENCE, child.wait_with_output()).await;
    let output = output.expect("the client ends").expect("the client ran");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_str(said.trim()).expect("one JSON object");
    assert!(seen["snapshots"].as_u64() >= Some(60) && seen["messages"].as_u64() >= Some(1), "{seen}");
    // Nobody takes the result here: without haste the server would offer it until its drain deadline.
    stage.hurry.trigger();
    stage.end(running).await;
}
