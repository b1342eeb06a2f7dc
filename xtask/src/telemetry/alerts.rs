//! Alerts, their tests and their runbooks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::lint::Known;

const RULES: &str = "deploy/alerts";
const TESTS: &str = "deploy/alerts/tests";
const RUNBOOKS: &str = "docs/book/src/runbooks";

/// What a runbook answers, in this order.
const QUESTIONS: [&str; 5] = ["## What it means", "## What players feel", "## Look", "## Do", "## Over when"];

/// `page`: wake somebody up. `ticket`: look at it in the morning.
const SEVERITIES: [&str; 2] = ["page", "ticket"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[expect(dead_code, reason = "required by the format")]
    name: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[expect(dead_code, reason = "promtool judges it")]
    r#for: Option<String>,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

#[derive(Debug, Deserialize)]
struct TestFile {
    tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
struct Test {
    alert_rule_test: Vec<Expectation>,
}

#[derive(Debug, Deserialize)]
struct Expectation {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<serde_json::Value>,
}

/// Alerts that a test expects, and alerts that a test expects to be silent.
#[derive(Debug, Default)]
struct Tested {
    firing: BTreeSet<String>,
    silent: BTreeSet<String>,
}

/// One sentence for each fault.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn faults(root: &Path, known: &Known) -> anyhow::Result<Vec<String>> {
    let tested = tested(root)?;
    let summary = std::fs::read_to_string(root.join("docs/book/src/SUMMARY.md"))?;
    let (mut faults, mut runbooks) = (Vec::new(), BTreeSet::new());
    for file in yaml_files(&root.join(RULES))? {
        for rule in read::<RuleFile>(&file)?.groups.into_iter().flat_map(|group| group.rules) {
            let found = rule_faults(root, &rule, known, &tested)?;
            faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", rule.alert)));
            runbooks.extend(runbook_name(&rule).map(str::to_owned));
        }
    }
    for entry in std::fs::read_dir(root.join(RUNBOOKS))? {
        let name = entry?.file_name().display().to_string();
        let stem = name.trim_end_matches(".md");
        if stem != "README" && !runbooks.contains(stem) {
            faults.push(format!("{RUNBOOKS}/{name} belongs to no alert"));
        }
        if !summary.contains(&format!("(runbooks/{name})")) {
            faults.push(format!("{RUNBOOKS}/{name} is not in the book's SUMMARY.md"));
        }
    }
    Ok(faults)
}

fn rule_faults(root: &Path, rule: &Rule, known: &Known, tested: &Tested) -> anyhow::Result<Vec<String>> {
    let mut faults = known.faults(&rule.expr);
    let mut demand = |is_met: bool, fault: String| {
        if !is_met {
            faults.push(fault);
        }
    };
    demand(rule.alert.starts_with("Muster"), "the name does not begin with Muster".into());
    demand(SEVERITIES.contains(&rule.labels.severity.as_str()), format!("severity is none of {SEVERITIES:?}"));
    demand(tested.firing.contains(&rule.alert), format!("no test in {TESTS} makes it fire"));
    demand(tested.silent.contains(&rule.alert), format!("no test in {TESTS} keeps it silent"));
    demand(!rule.annotations.summary.is_empty() && !rule.annotations.description.is_empty(), "says nothing".into());
    match runbook_name(rule) {
        None => faults.push("runbook_url does not end in runbooks/NAME.md".into()),
        Some(name) => {
            let path = root.join(RUNBOOKS).join(format!("{name}.md"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            faults.extend(runbook_faults(&rule.alert, &text).into_iter().map(|fault| format!("{name}.md: {fault}")));
        }
    }
    Ok(faults)
}

fn runbook_name(rule: &Rule) -> Option<&str> {
    let (_, name) = rule.annotations.runbook_url.rsplit_once("/runbooks/")?;
    name.strip_suffix(".md")
}

fn runbook_faults(alert: &str, text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["there is no such runbook".into()];
    }
    let mut faults = Vec::new();
    if !text.contains(&format!("`{alert}`")) {
        faults.push(format!("does not name {alert}"));
    }
    let mut from = 0;
    for question in QUESTIONS {
        match text[from..].find(&format!("\n{question}\n")) {
            Some(at) => from += at + 1,
            None => faults.push(format!("`{question}` is missing or out of order")),
        }
    }
    faults
}

fn tested(root: &Path) -> anyhow::Result<Tested> {
    let mut tested = Tested::default();
    for file in yaml_files(&root.join(TESTS))? {
        let tests = read::<TestFile>(&file)?.tests;
        for expectation in tests.into_iter().flat_map(|test| test.alert_rule_test) {
            let set = if expectation.exp_alerts.is_empty() { &mut tested.silent } else { &mut tested.firing };
            set.insert(expectation.alertname);
        }
    }
    Ok(tested)
}

fn yaml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    Ok(files)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_answers_every_question_in_order() {
        let good =
            format!("# x\n\nAlert `A`.\n\n{}\n", QUESTIONS.map(|question| format!("{question}\n\ntext\n")).join("\n"));
        assert_eq!(runbook_faults("A", &good), Vec::<String>::new());
        assert_eq!(runbook_faults("B", &good).len(), 1);
        assert_eq!(runbook_faults("A", &good.replace("## Do\n", "")).len(), 1);
        assert_eq!(runbook_faults("A", "").len(), 1);
    }
}
