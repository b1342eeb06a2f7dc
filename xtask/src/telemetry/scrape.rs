//! What scraping adds to every series, from the scrape configuration that the repository ships.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// Where the configuration lies.
const FILE: &str = "deploy/prometheus/prometheus.yaml";

/// Labels that Prometheus sets without being told.
const ALWAYS: [&str; 2] = ["job", "instance"];

#[derive(Debug, Deserialize)]
struct Config {
    scrape_configs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    relabel_configs: Vec<Relabel>,
}

#[derive(Debug, Deserialize)]
struct Relabel {
    target_label: Option<String>,
}

/// The labels of targets.
///
/// # Errors
/// If the configuration cannot be read.
pub(crate) fn target_labels(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let config: Config = serde_saphyr::from_str(&text).with_context(|| format!("{FILE} is no scrape configuration"))?;
    let relabels = config.scrape_configs.into_iter().flat_map(|job| job.relabel_configs);
    let set = relabels.filter_map(|relabel| relabel.target_label).filter(|label| !label.starts_with("__"));
    Ok(set.chain(ALWAYS.map(str::to_owned)).collect())
}
