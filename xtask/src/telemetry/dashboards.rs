//! Grafana dashboards: every query names what exists, every panel says what it shows.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::lint::Known;

const FOLDER: &str = "deploy/grafana";

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// One sentence for each fault.
///
/// # Errors
/// If a file cannot be read, or is no JSON.
pub(crate) fn faults(root: &Path, known: &Known) -> anyhow::Result<Vec<String>> {
    let (mut faults, mut uids) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(root.join(FOLDER)).with_context(|| format!("cannot list {FOLDER}"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(&path)?;
        let dashboard: Value = serde_json::from_str(&text).with_context(|| format!("{name}.json is no JSON"))?;
        let mut found = dashboard_faults(&dashboard, known);
        let uid = text_at(&dashboard, "uid").to_owned();
        if uid != format!("muster-{name}") || !uids.insert(uid) {
            found.push(format!("uid is not muster-{name}"));
        }
        faults.extend(found.into_iter().map(|fault| format!("{FOLDER}/{name}.json: {fault}")));
    }
    Ok(faults)
}

fn dashboard_faults(dashboard: &Value, known: &Known) -> Vec<String> {
    let mut faults = Vec::new();
    for field in ["title", "description"] {
        if text_at(dashboard, field).is_empty() {
            faults.push(format!("has no {field}"));
        }
    }
    // Grafana gives an id on import; one from somebody's installation would overwrite another dashboard.
    if !dashboard["id"].is_null() {
        faults.push("has an id of some installation".into());
    }
    for variable in list(&dashboard["templating"]["list"]) {
        faults.extend(variable_faults(variable, known));
    }
    let panels: Vec<&Value> = list(&dashboard["panels"]).iter().collect();
    if panels.is_empty() {
        faults.push("has no panels".into());
    }
    let mut ids = BTreeSet::new();
    let mut taken: Vec<[u64; 4]> = Vec::new();
    for panel in panels {
        let title = text_at(panel, "title");
        let mut found = panel_faults(panel, known);
        if !ids.insert(panel["id"].as_u64()) {
            found.push("its id is taken".into());
        }
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or(u64::MAX / 4));
        if place[0] + place[2] > COLUMNS || taken.iter().any(|other| overlap(*other, place)) {
            found.push("lies outside the grid or over another panel".into());
        }
        taken.push(place);
        faults.extend(found.into_iter().map(|fault| format!("panel \"{title}\": {fault}")));
    }
    faults
}

/// A variable's query: `label_values(series, label)`.
fn variable_faults(variable: &Value, known: &Known) -> Vec<String> {
    if text_at(variable, "type") != "query" {
        return Vec::new();
    }
    let query = text_at(&variable["query"], "query");
    let inner = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')'));
    let Some((series, label)) = inner.and_then(|inner| inner.rsplit_once(',')) else {
        return vec![format!("variable {}: the query is no label_values(series, label)", text_at(variable, "name"))];
    };
    let mut faults = known.faults(series);
    if !known.labels(series).contains(label.trim()) {
        faults.push(format!("{series} has no label {label}"));
    }
    faults
}

fn panel_faults(panel: &Value, known: &Known) -> Vec<String> {
    if text_at(panel, "type") == "row" {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for field in ["title", "description"] {
        if text_at(panel, field).is_empty() {
            faults.push(format!("has no {field}"));
        }
    }
    if text_at(panel, "type") == "text" {
        return faults;
    }
    if text_at(&panel["fieldConfig"]["defaults"], "unit").is_empty() {
        faults.push("has no unit".into());
    }
    if text_at(&panel["datasource"], "uid") != "${datasource}" {
        faults.push("does not take its data source from the variable".into());
    }
    let targets = list(&panel["targets"]);
    if targets.is_empty() {
        faults.push("has no query".into());
    }
    for target in targets {
        let expression = text_at(target, "expr");
        faults.extend(known.faults(expression));
        let labels = known.labels(expression);
        let legend = text_at(target, "legendFormat");
        let named = legend.split("{{").skip(1).filter_map(|part| part.split("}}").next());
        let missing = named.map(str::trim).filter(|label| !labels.contains(*label));
        faults.extend(missing.map(|label| format!("the legend names {label}, which no series has")));
    }
    faults
}

fn overlap(a: [u64; 4], b: [u64; 4]) -> bool {
    let apart = |at: usize| a[at] + a[at + 2] <= b[at] || b[at] + b[at + 2] <= a[at];
    !apart(0) && !apart(1)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_at<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::registry::Registry;
    use super::*;

    #[test]
    fn a_dashboard_that_shows_nothing_real_is_refused() {
        let known = Known { registry: Registry::default(), target_labels: BTreeSet::new() };
        let panel = |id: u64, x: u64| {
            json!({
                "id": id, "title": "t", "description": "d", "type": "timeseries",
                "datasource": {"uid": "${datasource}"}, "fieldConfig": {"defaults": {"unit": "s"}},
                "gridPos": {"x": x, "y": 0, "w": 12, "h": 8}, "targets": [{"expr": "up", "legendFormat": ""}],
            })
        };
        let dashboard = |panels: Value| json!({"title": "t", "description": "d", "panels": panels});
        let faults = |panels: Value| dashboard_faults(&dashboard(panels), &known);
        assert_eq!(faults(json!([panel(1, 0), panel(2, 12)])), Vec::<String>::new());
        assert_eq!(faults(json!([panel(1, 0), panel(1, 12)])).len(), 1, "the same id twice");
        assert_eq!(faults(json!([panel(1, 0), panel(2, 6)])).len(), 1, "one over the other");
        let mut unreal = panel(1, 0);
        unreal["targets"] = json!([{"expr": "muster_unreal", "legendFormat": "{{queue}}"}]);
        assert_eq!(faults(json!([unreal])).len(), 2, "neither series nor label");
        assert_eq!(faults(json!([])).len(), 1);
    }
}
