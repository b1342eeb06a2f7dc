//! Whether what an expression names exists.

use std::collections::BTreeSet;

use super::promql::{Matcher, Selector, named};
use super::registry::Registry;

/// Series that Prometheus itself makes for every target.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Metrics of the programs, and labels of their targets.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) registry: Registry,
    /// Labels that scraping adds: what `deploy/prometheus` sets, beside `job` and `instance`.
    pub(crate) target_labels: BTreeSet<String>,
}

impl Known {
    /// One sentence for each thing in the expression that does not exist.
    pub(crate) fn faults(&self, expression: &str) -> Vec<String> {
        let named = match named(expression) {
            Ok(named) => named,
            Err(error) => return vec![format!("{error:#}")],
        };
        let mut faults = Vec::new();
        let mut labels = self.target_labels.clone();
        for selector in &named.selectors {
            faults.extend(self.selector_faults(selector, &mut labels));
        }
        let missing = named.grouped.iter().filter(|label| !labels.contains(*label));
        faults.extend(missing.map(|label| format!("no series of the expression has the label {label}")));
        faults
    }

    /// The labels that some series of the expression has.
    pub(crate) fn labels(&self, expression: &str) -> BTreeSet<String> {
        let mut labels = self.target_labels.clone();
        for selector in named(expression).map(|named| named.selectors).unwrap_or_default() {
            labels.extend(self.registry.series(&selector.series).map(|(_, labels)| labels).unwrap_or_default());
        }
        labels
    }

    fn selector_faults(&self, selector: &Selector, labels: &mut BTreeSet<String>) -> Vec<String> {
        let series = &selector.series;
        let own = match self.registry.series(series) {
            Some((_, own)) => own,
            None if OF_PROMETHEUS.contains(&series.as_str()) => BTreeSet::new(),
            None => return vec![format!("no program has the series {series}")],
        };
        labels.extend(own.iter().cloned());
        selector.matchers.iter().filter_map(|matcher| self.matcher_fault(series, &own, matcher)).collect()
    }

    fn matcher_fault(&self, series: &str, own: &BTreeSet<String>, matcher: &Matcher) -> Option<String> {
        let Matcher { label, value, is_pattern } = matcher;
        if self.target_labels.contains(label) {
            return None;
        }
        if !own.contains(label) {
            return Some(format!("{series} has no label {label}"));
        }
        if value.contains('$') || ["le", "quantile"].contains(&label.as_str()) {
            return None;
        }
        let values: Vec<&str> = if *is_pattern { value.split('|').collect() } else { vec![value] };
        // A pattern such as `5..` is judged by Prometheus alone.
        let is_plain = |value: &str| value.chars().all(|c| c.is_ascii_alphabetic() || "_-".contains(c));
        let unknown = values.into_iter().find(|value| is_plain(value) && !self.registry.words.contains(*value))?;
        Some(format!("no program says {label}=\"{unknown}\", so {series} never has it"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{Kind, Metric};
    use super::*;

    fn known() -> Known {
        let metric = |kind, labels: &[&str]| Metric {
            kind,
            meaning: "x".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            owner: "allocator".into(),
        };
        let metrics = [
            ("muster_a_total".to_owned(), metric(Kind::Counter, &["outcome"])),
            ("muster_b_seconds".to_owned(), metric(Kind::Histogram, &[])),
        ];
        let registry = Registry { metrics: metrics.into(), words: ["placed".to_owned()].into(), faults: Vec::new() };
        Known { registry, target_labels: ["job".to_owned(), "namespace".to_owned()].into() }
    }

    #[test]
    fn what_exists_passes() {
        for good in [
            r#"sum by (namespace) (rate(muster_a_total{outcome="placed", namespace=~"$namespace"}[5m])) > 0"#,
            "histogram_quantile(0.9, sum by (le) (rate(muster_b_seconds_bucket[5m])))",
            "up{job=\"x\"} == 0",
        ] {
            assert_eq!(known().faults(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (bad, part) in [
            ("muster_c_total", "muster_c_total"),
            ("muster_b_seconds", "muster_b_seconds"),
            ("muster_a_total{kind=\"x\"}", "no label kind"),
            ("muster_a_total{outcome=\"plased\"}", "plased"),
            ("muster_a_total{outcome=~\"placed|plased\"}", "plased"),
            ("sum by (queue) (muster_a_total)", "queue"),
        ] {
            let faults = known().faults(bad);
            assert!(faults.len() == 1 && faults[0].contains(part), "{bad}: {faults:?}");
        }
    }
}
