//! What metagame does under load, on PostgreSQL, SQLite and Redis, with the settings that lose nothing.
//! `cargo xtask bench metagame [-o json] [-- SECONDS] [--only ROW,…]`.
//!
//! Metagame is a process of its own (this program again), so is PostgreSQL; the load comes from this one. Nothing uses TLS but
//! the row that says so. Each row: answers per second, what clients and the server saw, and the cores that each process took.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::print_stderr, reason = "and tells its progress on stderr")]
#![expect(clippy::unwrap_used, reason = "a bench ends at the first fault")]

mod process;
mod report;
mod rows;
mod serve;
mod sockets;
mod stage;

use std::time::Duration;

use report::Report;

/// Seconds of each row.
const SECONDS: u64 = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let [role, order] = &arguments[..]
        && role == "serve"
    {
        return runtime.block_on(serve::run(serde_json::from_str(order).unwrap()));
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let after = |flag: &str| arguments.iter().position(|one| one == flag).and_then(|at| arguments.get(at + 1));
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let only: Vec<String> =
        after("--only").map(|rows| rows.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let report = runtime.block_on(run(Duration::from_secs(seconds), &only));
    if after("-o").is_some_and(|format| format == "json") {
        println!("{}", report.json());
    } else {
        println!("{}", report.markdown());
    }
}

/// Every stage that a chosen row needs, one after another.
async fn run(length: Duration, only: &[String]) -> Report {
    let mut report = Report::default();
    for kind in stage::KINDS {
        let chosen: Vec<_> =
            rows::of(kind).into_iter().filter(|row| only.is_empty() || only.contains(&row.name.into())).collect();
        if chosen.is_empty() {
            continue;
        }
        let mut stage = stage::Stage::start(kind).await.unwrap();
        report.settings.extend(stage.settings());
        for row in chosen {
            eprintln!("{}: {} …", kind.name(), row.name);
            match (row.run)(&mut stage, length).await {
                Ok(measured) => report.add(kind, &row, &measured),
                Err(error) => report.fail(kind, &row, &error),
            }
        }
    }
    sockets::run(&mut report, length, only).await.unwrap();
    report
}
