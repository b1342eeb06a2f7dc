//! Rows as a table and as JSON.

use loadtest::metagame::load::Outcome;
use serde_json::{Value, json};

use crate::rows::Row;
use crate::stage::Kind;

/// What a row came to.
pub(crate) struct Measured {
    pub(crate) connections: usize,
    pub(crate) outcome: Outcome,
    pub(crate) server: ServerTimes,
    pub(crate) cores: Cores,
    /// What each request does, for requests that do several things at once.
    pub(crate) each: u64,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.outcome.per_second() * self.each as f64
    }
}

/// What the server itself saw, from its histogram: upper bounds in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ServerTimes {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl ServerTimes {
    /// Of what was counted between two readings of cumulative buckets.
    pub(crate) fn between(before: &[(f64, u64)], after: &[(f64, u64)]) -> Self {
        let was = |bound: f64| before.iter().find(|(one, _)| *one == bound).map_or(0, |(_, count)| *count);
        let counts: Vec<_> = after.iter().map(|(bound, count)| (*bound, count - was(*bound))).collect();
        let total = counts.last().map_or(0, |(_, count)| *count);
        let quantile = |share: f64| {
            let wanted = (total as f64 * share).ceil() as u64;
            counts.iter().find(|(_, count)| *count >= wanted).map_or(0.0, |(bound, _)| bound * 1_000.0)
        };
        Self { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) }
    }
}

/// Cores that each process kept busy on average.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    metagame: f64,
    database: f64,
    redis: f64,
    load: f64,
}

impl Cores {
    pub(crate) fn between(before: &[f64; 4], after: &[f64; 4], seconds: f64) -> Self {
        let [metagame, database, redis, load] = std::array::from_fn(|at| (after[at] - before[at]) / seconds);
        Self { metagame, database, redis, load }
    }
}

/// All rows.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) settings: Vec<String>,
    rows: Vec<Value>,
}

impl Report {
    pub(crate) fn add(&mut self, kind: Kind, row: &Row, measured: &Measured) {
        let Measured { connections, outcome, server, cores, .. } = measured;
        let (rate, p99) = (measured.per_second(), outcome.ms(0.99));
        let good =
            row.goal.per_second.is_none_or(|goal| rate >= goal) && row.goal.p99_ms.is_none_or(|goal| p99 <= goal);
        let value = json!({
            "row": row.name, "store": kind.name(), "connections": connections,
            "per_second": round(rate), "goal_per_second": row.goal.per_second,
            "client_ms": { "p50": round(outcome.ms(0.5)), "p95": round(outcome.ms(0.95)), "p99": round(p99),
                "max": round(outcome.ms(1.0)) },
            "goal_p99_ms": row.goal.p99_ms,
            "server_ms_at_most": { "p50": server.p50, "p95": server.p95, "p99": server.p99 },
            "cores": { "metagame": round(cores.metagame), "database": round(cores.database), "redis": round(cores.redis),
                "load": round(cores.load) },
            "failed": outcome.failed(), "first_failure": outcome.first_wrong,
            "meets_goal": good && outcome.failed() == 0,
        });
        eprintln!("  {value}");
        self.rows.push(value);
    }

    /// A row that came to nothing; the others are measured all the same.
    pub(crate) fn fail(&mut self, kind: Kind, row: &Row, error: &anyhow::Error) {
        self.push(json!({ "row": row.name, "store": kind.name(), "error": format!("{error:#}"), "meets_goal": false }));
    }

    /// A row of another kind.
    pub(crate) fn push(&mut self, value: Value) {
        eprintln!("  {value}");
        self.rows.push(value);
    }

    pub(crate) fn json(&self) -> Value {
        let meets_goals = self.rows.iter().all(|row| row["meets_goal"] == true);
        json!({ "settings": self.settings, "rows": self.rows, "meets_goals": meets_goals })
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = self.settings.join("\n");
        text.push_str("\n\n| row | store | connections | per second | client p50/p95/p99 ms | server p50/p95/p99 ms | cores metagame/database/Redis/load | goal | met |\n");
        text.push_str("|---|---|---:|---:|---|---|---|---|---|\n");
        for row in &self.rows {
            let three = |of: &Value| format!("{} / {} / {}", of["p50"], of["p95"], of["p99"]);
            let cores = &row["cores"];
            text.push_str(&format!(
                "| {} | {} | {} | {} | {} | {} | {}/{}/{}/{} | {}/s, p99 {} ms | {} |\n",
                row["row"],
                row["store"],
                row["connections"],
                row["per_second"],
                three(&row["client_ms"]),
                three(&row["server_ms_at_most"]),
                cores["metagame"],
                cores["database"],
                cores["redis"],
                cores["load"],
                row["goal_per_second"],
                row["goal_p99_ms"],
                row["meets_goal"],
            ));
        }
        text.replace('"', "")
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
