//! Asking services of the studio.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue, Uri};
use protocol::id::PlayerId;
use serde_json::json;

use crate::core::live::hook::{Answer, IfDown, read};
use crate::core::live::rule::{Act, Facts};
use crate::core::webhook::{Secret, signatures};
use crate::outgoing::{AddressFault, Destination, Outgoing, Request};

/// Longest answer of a hook in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1_024;

/// A service of the studio that is asked before an act.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name in answers, logs and metrics.
    pub name: String,
    pub(crate) url: Uri,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) acts: BTreeSet<Act>,
    pub(crate) timeout: Duration,
    pub(crate) if_down: IfDown,
}

/// An address of a hook that is not called.
#[derive(Debug, thiserror::Error)]
#[error("the address of the hook {name} in the integrations: {fault}")]
pub struct HookAddress {
    name: String,
    fault: AddressFault,
}

/// The hooks, with the ways to them.
pub(crate) struct Hooks(Vec<(Hook, Destination)>);

impl Hooks {
    /// Hooks that can be called.
    pub(crate) fn new(hooks: &[Hook], outgoing: &Outgoing) -> Result<Self, HookAddress> {
        let way = |hook: &Hook| {
            let destination = outgoing.destination(format!("hook-{}", hook.name)).plain_allowed();
            destination.check(&hook.url).map_err(|fault| HookAddress { name: hook.name.clone(), fault })?;
            Ok((hook.clone(), destination))
        };
        hooks.iter().map(way).collect::<Result<_, HookAddress>>().map(Self)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Hook> {
        self.0.iter().map(|(hook, _)| hook)
    }

    /// Whether there is one for this act.
    pub(super) fn any(&self, act: Act) -> bool {
        self.0.iter().any(|(hook, _)| hook.acts.contains(&act))
    }

    /// What those say that are asked about this act, in the order of the settings. Asked at once.
    pub(super) async fn ask(
        &self,
        act: Act,
        player: Option<PlayerId>,
        facts: &Facts,
        request_id: &str,
    ) -> Vec<(&Hook, Result<Answer, String>, Duration)> {
        let asked = self.0.iter().filter(|(hook, _)| hook.acts.contains(&act)).map(|(hook, destination)| async move {
            let begun = Instant::now();
            let body = json!({
                "act": act.name(), "player_id": player, "facts": facts, "request_id": request_id,
                "at_ms": service::clock::unix_ms(),
            });
            (hook, ask(hook, destination, &body.to_string()).await, begun.elapsed())
        });
        futures_util::future::join_all(asked).await
    }
}

async fn ask(hook: &Hook, destination: &Destination, body: &str) -> Result<Answer, String> {
    let (now_s, id) = (service::clock::unix_s(), hex::encode(service::random::bytes::<16>()));
    let signed = signatures(&hook.secrets, &id, now_s, body);
    let value = |text: &str| HeaderValue::from_str(text).expect("ids, numbers and base64 are visible ASCII");
    let request = Request::post(hook.url.clone(), "application/json", body.to_owned())
        .header(HeaderName::from_static("webhook-id"), value(&id))
        .header(HeaderName::from_static("webhook-timestamp"), value(&now_s.to_string()))
        .header(HeaderName::from_static("webhook-signature"), value(&signed))
        .timeout(hook.timeout)
        .answer_max(ANSWER_BYTES_MAX);
    let answer = destination.send(request).await.map_err(|error| error.to_string())?;
    read(answer.status.as_u16(), &answer.body)
}
