//! How this program asks services over HTTP.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::exit::Failure;

/// How long metagame's admin port is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client for the services of an installation. They are neighbours: a proxy that the environment names for the world
/// outside has no way to them.
pub(crate) fn client(patience: Duration) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(patience).build();
    client.expect("a client with the defaults but for proxy and time can be built")
}

/// Asks metagame's admin port for something, and waits for its answer.
pub(crate) fn ask_metagame(
    admin: &str,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let away = |error: reqwest::Error| {
            Failure::setup(format!("metagame's admin port does not answer at {admin}: {error}"))
                .help("start the platform, or name its admin port (the API's port + 1) with --admin")
        };
        let url = format!("{}{path}", admin.trim_end_matches('/'));
        let request = client(PATIENCE).request(method, url).query(query);
        let request = if let Some(body) = body { request.json(body) } else { request };
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let said: Value = answer.json().await.map_err(away)?;
        if status.is_success() {
            return Ok(said);
        }
        let detail = said["detail"].as_str().unwrap_or("it does not say why");
        Err(Failure::setup(format!("metagame refuses with {status}: {detail}")))
    })
}
