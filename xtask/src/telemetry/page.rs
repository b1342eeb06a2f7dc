//! The book's page of metrics, written from the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::registry::{Metric, Registry};

const HEAD: &str = "# Metrics

<!-- Written by `cargo xtask docs` from the code that records them. -->

Every program serves `/metrics` on its admin port, in the text format of Prometheus. Programs that share a process share the page.
A histogram `x_seconds` has the series `x_seconds_bucket`, `_sum` and `_count`; a summary has quantiles, `_sum` and `_count`. No label
names a player, a match or a server: their number is bounded.

";

/// The page.
///
/// # Errors
/// If the code cannot be read.
pub(crate) fn metrics_page(root: &Path) -> anyhow::Result<String> {
    Ok(render(&Registry::read(root)?.metrics))
}

fn render(metrics: &BTreeMap<String, Metric>) -> String {
    let mut by_owner: BTreeMap<&str, Vec<(&String, &Metric)>> = BTreeMap::new();
    for (name, metric) in metrics {
        by_owner.entry(&metric.owner).or_default().push((name, metric));
    }
    let mut page = HEAD.to_owned();
    for (owner, metrics) in by_owner {
        let _ = write!(page, "## {owner}\n\n| metric | kind | says |\n|---|---|---|\n");
        for (name, metric) in metrics {
            let labels: Vec<&str> = metric.labels.iter().map(String::as_str).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let meaning = metric.meaning.trim_end_matches('.').replace('|', "\\|");
            let _ = writeln!(page, "| `{name}{labels}` | {} | {meaning} |", metric.kind.word());
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}
