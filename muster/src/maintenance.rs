//! `muster maintenance` and `muster minimum-build`: what operators decide about new tickets, by metagame's admin port.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{MaintenanceOptions, MaintenanceTask, MinimumBuildOptions};
use crate::exit::Failure;
use crate::http;
use crate::output::answer;

/// Begins, ends or shows a maintenance.
pub(crate) fn run(options: &MaintenanceOptions) -> Result<ExitCode, Failure> {
    let decided = match &options.task {
        MaintenanceTask::On { message, retry_after } => {
            let body = json!({ "message": message, "retry_after_s": retry_after });
            http::ask_metagame(&options.metagame.admin, Method::PUT, "/maintenance", &[], Some(&body))?
        }
        MaintenanceTask::Off => http::ask_metagame(&options.metagame.admin, Method::DELETE, "/maintenance", &[], None)?,
        MaintenanceTask::Show => http::ask_metagame(&options.metagame.admin, Method::GET, "/admission", &[], None)?,
    };
    print(&decided)?;
    Ok(ExitCode::SUCCESS)
}

/// Sets or clears a minimum build.
pub(crate) fn minimum_build(options: &MinimumBuildOptions) -> Result<ExitCode, Failure> {
    let decided = match &options.build {
        Some(build) => {
            let body = json!({ "build": build, "queue": options.queue });
            http::ask_metagame(&options.metagame.admin, Method::PUT, "/minimum-build", &[], Some(&body))?
        }
        None => {
            let query: Vec<_> = options.queue.iter().map(|queue| ("queue", queue.as_str())).collect();
            http::ask_metagame(&options.metagame.admin, Method::DELETE, "/minimum-build", &query, None)?
        }
    };
    print(&decided)?;
    Ok(ExitCode::SUCCESS)
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
