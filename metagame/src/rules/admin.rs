//! Rules on the admin port: what is asked, and what would be refused.

use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Hook;
use crate::app::App;
use crate::core::live::hook::IfDown;
use crate::core::live::rule::{Act, Facts, Rule, check_facts, refusal};
use crate::extract::Body;
use crate::outgoing::origin;
use crate::problem::Problem;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/rules", get(show)).route("/rules/try", post(try_out))
}

#[derive(Debug, Serialize)]
struct HookBody<'h> {
    name: &'h str,
    /// Without its path, which may hold a secret.
    origin: String,
    acts: Vec<&'static str>,
    timeout_ms: u64,
    if_down: &'static str,
}

/// An act that somebody thinks of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TryBody {
    act: Act,
    facts: Facts,
    /// Rules to be tried; absent: those that hold.
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn hook(hook: &Hook) -> HookBody<'_> {
    HookBody {
        name: &hook.name,
        origin: origin(&hook.url),
        acts: hook.acts.iter().map(|act| act.name()).collect(),
        timeout_ms: millis(hook.timeout),
        if_down: if hook.if_down == IfDown::Allow { "allow" } else { "refuse" },
    }
}

async fn show(State(app): State<App>) -> Json<Value> {
    let held = app.live.held();
    let hooks: Vec<HookBody<'_>> = app.hooks.all().map(hook).collect();
    Json(json!({ "version": held.version, "rules": held.document.rules, "hooks": hooks }))
}

/// Which rule would refuse this; hooks are not asked.
async fn try_out(State(app): State<App>, Body(body): Body<TryBody>) -> Result<Json<Value>, Problem> {
    check_facts(body.act, &body.facts).map_err(|fault| Problem::invalid("invalid-facts", fault))?;
    let held = app.live.held();
    let rules = body.rules.as_deref().unwrap_or(&held.document.rules);
    for rule in rules {
        rule.check().map_err(|fault| Problem::invalid("invalid-rule", format!("rule {:?}: {fault}", rule.id)))?;
    }
    let refused = refusal(rules, body.act, &body.facts);
    Ok(Json(json!({ "version": held.version, "allowed": refused.is_none(), "refused_by": refused })))
}
