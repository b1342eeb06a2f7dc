//! An instance of metagame with its gateway, as a process that can be killed and started again.

use std::path::Path;
use std::process::{Child, Stdio};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::postgres::TestDatabase;
use testkit::redis::RedisServer;

use super::{free_port_pair, muster};

/// A process at a time.
pub(crate) struct Instance {
    arguments: Vec<String>,
    /// Port of the API; the next one is the admin port.
    pub(crate) api: u16,
    /// Port of the gateway over TCP.
    pub(crate) tcp: u16,
    child: Option<Child>,
}

impl Instance {
    /// Starts one; it shares what it keeps with all that have the same database and Redis.
    pub(crate) async fn start(folder: &Path, database: &TestDatabase, redis: &RedisServer, more: &[&str]) -> Self {
        let (api, tcp) = (free_port_pair(), free_port_pair());
        let mut arguments = vec![
            format!("--data={}", folder.display()),
            format!("--listen=127.0.0.1:{api}"),
            format!("--admin=127.0.0.1:{}", api + 1),
            format!("--gateway-tcp=127.0.0.1:{tcp}"),
            format!("--database={}", database.url()),
            format!("--redis={}", redis.url()),
            // Nobody listens there: these tests need neither.
            "--allocator=http://127.0.0.1:1".into(),
            "--matchmaker=http://127.0.0.1:1".into(),
            "--log=error".into(),
        ];
        arguments.extend(more.iter().map(|&one| one.to_owned()));
        let mut instance = Self { arguments, api, tcp, child: None };
        instance.begin().await;
        instance
    }

    /// Starts it again at the same ports.
    pub(crate) async fn begin(&mut self) {
        let mut command = muster();
        command.arg("metagame").args(&self.arguments).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("muster starts"));
        let ready = format!("http://127.0.0.1:{}/readyz", self.api + 1);
        testkit::wait::until("it is ready", async || {
            reqwest::get(&ready).await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// The answer to a request that must be good.
    pub(crate) async fn send(&self, method: Method, path: &str, access: &str, body: &Value) -> Value {
        let request = Client::new().request(method, format!("http://127.0.0.1:{}{path}", self.api));
        let answer = request.bearer_auth(access).json(body).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A player: its id, and its access token.
    pub(crate) async fn login(&self, n: u8) -> (String, String) {
        let body = json!({ "device_id": format!("{n:032x}"), "name": format!("Player {n}") });
        let answer = self.send(Method::POST, "/v1/auth/device", "", &body).await;
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        (text("player_id"), text("access_token"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
