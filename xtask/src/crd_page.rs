//! The book's reference of a custom resource, written from its CRD.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// Fields whose insides are Kubernetes' own and explained there.
const OF_KUBERNETES: [&str; 5] = ["env", "envFrom", "imagePullSecrets", "tolerations", "volumeMounts"];

/// The page for the CRD in the file.
///
/// # Errors
/// If the file cannot be read, or is no CRD.
pub(crate) fn page(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let crd: Value = serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", file.display()))?;
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let names = &crd["spec"]["names"];
    let kind = names["kind"].as_str().context("the CRD names no kind")?;
    let short = names["shortNames"][0].as_str().unwrap_or_default();
    let mut page = format!("# {kind}\n\n<!-- Written by `cargo xtask docs` from the CRD. -->\n\n");
    let (group, version) = (word(&crd["spec"], "group"), word(version, "name"));
    let _ =
        writeln!(page, "{}\n\n`apiVersion: {group}/{version}`, `kubectl get {short}`.\n", word(schema, "description"));
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        let _ = write!(page, "## {part}\n\n{}\n\n", sentence(schema));
        page.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
        fields(&mut page, schema, "");
        page.push('\n');
        rules(&mut page, schema);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    Ok(page)
}

fn fields(page: &mut String, schema: &Value, above: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, field) in properties {
        let path = format!("{above}{name}");
        let is_required = schema["required"].as_array().is_some_and(|list| list.contains(&Value::from(name.as_str())));
        let (kind, default) = (kind(field), default(field, is_required));
        let _ = writeln!(page, "| `{path}` | {kind} | {default} | {} |", sentence(field));
        if OF_KUBERNETES.contains(&name.as_str()) {
            continue;
        }
        fields(page, field, &format!("{path}."));
        fields(page, &field["items"], &format!("{path}[]."));
    }
}

/// The sentences of the schema's CEL rules: what is refused at `kubectl apply`.
fn rules(page: &mut String, schema: &Value) {
    let mut messages = Vec::new();
    collect_rules(schema, &mut messages);
    if messages.is_empty() {
        return;
    }
    page.push_str("Beside types and ranges these are checked when a manifest is applied:\n\n");
    for message in messages {
        let _ = writeln!(page, "- {}", one_line(&message));
    }
    page.push('\n');
}

fn collect_rules(schema: &Value, messages: &mut Vec<String>) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    messages.extend(rules.filter_map(|rule| rule["message"].as_str().map(str::to_owned)));
    for field in schema["properties"].as_object().into_iter().flat_map(|fields| fields.values()) {
        collect_rules(field, messages);
    }
    if schema["items"].is_object() {
        collect_rules(&schema["items"], messages);
    }
}

fn kind(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(|value| value.as_str().map(|v| format!("`{v}`"))).collect();
        return values.join(", ");
    }
    let kind = word(field, "type");
    match kind {
        "array" => match kind_of_items(&field["items"]) {
            Some(items) => format!("list of {items}"),
            None => "list".to_owned(),
        },
        "integer" | "number" => match (number(&field["minimum"]), number(&field["maximum"])) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("{kind}, at least {least}"),
            _ => kind.to_owned(),
        },
        "string" => number(&field["maxLength"]).map_or(kind.to_owned(), |most| format!("string, at most {most}")),
        "" => "any".to_owned(),
        _ => kind.to_owned(),
    }
}

fn kind_of_items(items: &Value) -> Option<String> {
    (!items["type"].is_null() && word(items, "type") != "object").then(|| kind(items))
}

/// A whole number as such: schemas write 64.0 for 64.
fn number(value: &Value) -> Option<String> {
    value.as_f64().map(|number| format!("{number}"))
}

fn default(field: &Value, is_required: bool) -> String {
    match &field["default"] {
        Value::Null if is_required => "required".to_owned(),
        Value::Null => String::new(),
        // The parts have their own lines.
        Value::Object(_) => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::Number(number) => number.as_f64().map(|number| format!("{number}")).unwrap_or_default(),
        Value::Array(list) if list.iter().any(Value::is_object) => format!("{} given", list.len()),
        Value::Array(list) if list.is_empty() => String::new(),
        other => format!("`{}`", other.to_string().trim_matches('"')),
    }
}

fn sentence(schema: &Value) -> String {
    one_line(word(schema, "description")).replace('|', "\\|")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_type_default_and_meaning() {
        let schema = json!({
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1.0, "maximum": 64.0, "description": "How\n  big."},
                "kind": {"enum": ["A", "B"], "default": "A", "description": "Which | one."},
                "steps": {"type": "array", "items": {"type": "object", "properties": {
                    "weight": {"type": "number", "x-kubernetes-validations": [{"message": "grow"}]},
                }}},
                "env": {"type": "array", "items": {"properties": {"name": {"type": "string"}}}},
            },
        });
        let mut page = String::new();
        fields(&mut page, &schema, "");
        assert_eq!(page.lines().count(), 5, "{page}");
        assert!(page.contains("| `size` | 1 to 64 | required | How big. |"), "{page}");
        assert!(page.contains("| `kind` | `A`, `B` | `A` | Which \\| one. |"), "{page}");
        assert!(page.contains("| `steps[].weight` | number |"), "{page}");
        rules(&mut page, &schema);
        assert!(page.ends_with("- grow\n\n"), "{page}");
    }
}
