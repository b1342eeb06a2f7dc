//! What operators look at: metrics, dashboards, alerts and runbooks, and whether they fit each other.

mod alerts;
mod dashboards;
mod lint;
mod page;
mod promql;
mod promtool;
mod registry;
mod scrape;

use std::path::Path;

use lint::Known;
use registry::Registry;

pub(crate) use page::metrics_page;
pub(crate) use promtool::install as install_promtool;

/// One sentence for each thing that contradicts another; what needs promtool is tested apart.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let known = Known { registry: Registry::read(root)?, target_labels: scrape::target_labels(root)? };
    let mut faults = known.registry.faults.clone();
    faults.extend(dashboards::faults(root, &known)?);
    faults.extend(alerts::faults(root, &known)?);
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashboards_alerts_and_runbooks_name_only_what_exists() {
        assert_eq!(faults(&crate::command::root()).expect("readable files"), Vec::<String>::new());
    }
}
