//! Players of a load: their accounts, and the requests that they make.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::connection::{Answer, Connection, request};

/// Logins that are made at once while accounts are prepared.
const AT_ONCE: usize = 16;

/// A player of a load.
#[derive(Debug, Clone)]
pub struct Account {
    /// The id of its account.
    pub player_id: String,
    /// What it logs in with.
    pub device_id: String,
    /// The value of its authorization header.
    pub bearer: String,
}

/// The device of a number: the same for the same seed.
pub fn device(seed: u64, number: u64) -> String {
    // Any bijection will do, so that devices do not look alike.
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{seed:016x}{mixed:016x}")
}

/// A login by device.
pub fn login(device_id: &str) -> Vec<u8> {
    request("POST", "/v1/auth/device", &[], json!({ "device_id": device_id }).to_string().as_bytes())
}

/// A request of a player.
pub fn of_player(method: &str, path: &str, bearer: &str, body: &str) -> Vec<u8> {
    request(method, path, &[("Authorization", bearer)], body.as_bytes())
}

/// A request of a player that is done once, however often it is sent with this key.
pub fn once(path: &str, bearer: &str, key: &str, body: &str) -> Vec<u8> {
    request("POST", path, &[("Authorization", bearer), ("Idempotency-Key", key)], body.as_bytes())
}

/// The JSON of an answer that must be good.
///
/// # Errors
/// What it said instead.
pub fn good(answer: &Answer) -> anyhow::Result<Value> {
    let text = String::from_utf8_lossy(&answer.body);
    ensure!((200..300).contains(&answer.status), "answered {}: {text}", answer.status);
    if answer.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer.body).context("no JSON") }
}

/// Logs `count` players in, making their accounts where there are none yet.
///
/// # Errors
/// The first login that fails.
pub async fn accounts(address: SocketAddr, seed: u64, count: usize) -> anyhow::Result<Arc<[Account]>> {
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE.min(count) {
        tasks.spawn(async move {
            let mut connection = Connection::new(address);
            let mut made = Vec::new();
            for number in (first..count).step_by(AT_ONCE) {
                let device_id = device(seed, number as u64);
                let body = good(&connection.send(&login(&device_id)).await?)?;
                let text = |name: &str| body[name].as_str().map(str::to_owned).context("a login without a token");
                let bearer = format!("Bearer {}", text("access_token")?);
                made.push((number, Account { player_id: text("player_id")?, device_id, bearer }));
            }
            anyhow::Ok(made)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(some) = tasks.join_next().await {
        all.extend(some??);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, account)| account).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_32_hex_digits_and_differ() {
        let devices: std::collections::BTreeSet<String> = (0..1_000).map(|number| device(7, number)).collect();
        assert_eq!(devices.len(), 1_000);
        assert!(devices.iter().all(|one| one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert_eq!(device(7, 3), device(7, 3));
    }
}
