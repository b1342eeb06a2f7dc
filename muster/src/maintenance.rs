//! `muster maintenance` and `muster minimum-build`: what operators decide about new tickets, by metagame's admin port.

use std::process::ExitCode;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{MaintenanceOptions, MaintenanceTask, MinimumBuildOptions};
use crate::exit::Failure;
use crate::http;
use crate::output::answer;

const PATIENCE: Duration = Duration::from_secs(10);

/// Begins, ends or shows a maintenance.
pub(crate) fn run(options: &MaintenanceOptions) -> Result<ExitCode, Failure> {
    let decided = match &options.task {
        MaintenanceTask::On { message, retry_after } => {
            let body = json!({ "message": message, "retry_after_s": retry_after });
            ask(&options.admin, Method::PUT, "/maintenance", &[], Some(&body))?
        }
        MaintenanceTask::Off => ask(&options.admin, Method::DELETE, "/maintenance", &[], None)?,
        MaintenanceTask::Show => ask(&options.admin, Method::GET, "/admission", &[], None)?,
    };
    print(&decided)?;
    Ok(ExitCode::SUCCESS)
}

/// Sets or clears a minimum build.
pub(crate) fn minimum_build(options: &MinimumBuildOptions) -> Result<ExitCode, Failure> {
    let decided = match &options.build {
        Some(build) => {
            let body = json!({ "build": build, "queue": options.queue });
            ask(&options.admin, Method::PUT, "/minimum-build", &[], Some(&body))?
        }
        None => {
            let query: Vec<_> = options.queue.iter().map(|queue| ("queue", queue.as_str())).collect();
            ask(&options.admin, Method::DELETE, "/minimum-build", &query, None)?
        }
    };
    print(&decided)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks metagame; its answer is what is decided from now on.
fn ask(
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
        let request = http::client(PATIENCE).request(method, url).query(query);
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

/// Prints what is decided, one line each.
fn print(decided: &Value) -> Result<(), Failure> {
    let maintenance = match decided["maintenance"].as_object() {
        Some(maintenance) => format!(
            "on: \"{}\", clients come back after {} s; running matches go on",
            maintenance["message"].as_str().unwrap_or_default(),
            maintenance["retry_after_s"]
        ),
        None => "off".to_owned(),
    };
    let mut lines = vec![
        format!("maintenance    {maintenance}"),
        format!("minimum build  {}", decided["minimum_build"].as_str().unwrap_or("none")),
    ];
    for (queue, build) in decided["minimum_build_by_queue"].as_object().into_iter().flatten() {
        lines.push(format!("               {} for {queue}", build.as_str().unwrap_or_default()));
    }
    answer(&lines.join("\n"))
}
