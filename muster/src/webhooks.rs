//! Webhooks: the flags that name endpoints, and `muster webhooks`, which shows them and has something sent again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use metagame::{EndpointSettings, WebhookFaults, Webhooks, endpoints, read_endpoints};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::{WebhooksOptions, WebhooksTask};
use crate::exit::Failure;
use crate::http;
use crate::output::answer;

/// Name of the endpoint that the flags describe.
const DEFAULT: &str = "default";

/// Who is told that matches start, end and are lost.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct WebhookOptions {
    /// Tell this address (https:// or http://) when a match starts, ends or is lost.
    #[arg(
        long,
        env = "MUSTER_WEBHOOK",
        value_name = "URL",
        requires = "webhook_secret_file",
        help_heading = "Webhooks"
    )]
    pub(crate) webhook: Option<String>,
    /// File with the secret that signs what --webhook is told; twice while a secret is replaced.
    #[arg(
        long,
        env = "MUSTER_WEBHOOK_SECRET_FILE",
        value_name = "FILE",
        value_delimiter = ',',
        help_heading = "Webhooks"
    )]
    pub(crate) webhook_secret_file: Vec<PathBuf>,
    /// What --webhook is told of, if not of everything: match.started, match.ended, match.lost.
    #[arg(long, env = "MUSTER_WEBHOOK_EVENTS", value_name = "LIST", value_delimiter = ',', help_heading = "Webhooks")]
    pub(crate) webhook_events: Vec<String>,
    /// File of more endpoints.
    #[arg(long, env = "MUSTER_WEBHOOKS", value_name = "FILE", help_heading = "Webhooks")]
    pub(crate) webhooks: Option<PathBuf>,
}

impl WebhookOptions {
    /// The endpoints, with their secrets read.
    pub(crate) fn read(&self) -> Result<Webhooks, Failure> {
        let mut faults = Vec::new();
        let mut settings: Vec<EndpointSettings> = Vec::new();
        if let Some(url) = &self.webhook {
            settings.push(EndpointSettings {
                name: DEFAULT.to_owned(),
                url: url.clone(),
                secret_files: self.webhook_secret_file.clone(),
                events: self.webhook_events.clone(),
            });
        } else if !self.webhook_secret_file.is_empty() || !self.webhook_events.is_empty() {
            faults.push("  --webhook-secret-file and --webhook-events need --webhook".to_owned());
        }
        if let Some(path) = &self.webhooks {
            match read_endpoints(path) {
                Ok(more) => settings.extend(more),
                Err(found) => faults.extend(found.faults),
            }
        }
        let checked = endpoints(&settings).map_err(|found| faults.extend(found.faults));
        match checked {
            Ok(endpoints) if faults.is_empty() => Ok(Webhooks { endpoints, ..Webhooks::default() }),
            _ => Err(Failure::setup(WebhookFaults { faults })),
        }
    }
}

/// Shows endpoints or dead letters, or has something sent again.
pub(crate) fn run(options: &WebhooksOptions) -> Result<ExitCode, Failure> {
    let admin = &options.metagame.admin;
    let said = match &options.task {
        WebhooksTask::List => list(&http::ask_metagame(admin, Method::GET, "/webhooks", &[], None)?),
        WebhooksTask::Dead => dead(&http::ask_metagame(admin, Method::GET, "/webhooks/dead", &[], None)?),
        WebhooksTask::Resend { endpoint, event } => {
            let body = json!({ "endpoint": endpoint, "event_id": event });
            let resent = http::ask_metagame(admin, Method::POST, "/webhooks/resend", &[], Some(&body))?;
            format!("{} events are sent again to {endpoint}", resent["events"])
        }
    };
    answer(&said)?;
    Ok(ExitCode::SUCCESS)
}

fn rows(listed: &Value) -> &[Value] {
    listed.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn list(listed: &Value) -> String {
    let line = |row: &Value| {
        let oldest = row["oldest_pending_age_ms"].as_u64().map(|age_ms| format!(", oldest {} s", age_ms / 1_000));
        format!(
            "{}  {}  {}: {} delivered, {} tries failed, {} pending{}, {} dead",
            text(row, "name"),
            row["condition"].as_str().unwrap_or("not in the settings"),
            text(row, "origin"),
            row["delivered"],
            row["failures"],
            row["pending"],
            oldest.unwrap_or_default(),
            row["dead"]
        )
    };
    let lines: Vec<_> = rows(listed).iter().map(line).collect();
    if lines.is_empty() { "no webhooks".to_owned() } else { lines.join("\n") }
}

fn dead(listed: &Value) -> String {
    let line = |row: &Value| {
        let (endpoint, event, reason) = (text(row, "endpoint"), text(row, "event_id"), text(row, "reason"));
        format!("{endpoint}  {event}  {} tries, at last: {reason}", row["attempts"])
    };
    let lines: Vec<_> = rows(listed).iter().map(line).collect();
    if lines.is_empty() { "no dead letters".to_owned() } else { lines.join("\n") }
}
