//! Which series and labels a PromQL expression names. Not a parser: promtool judges the grammar.

use anyhow::{Context as _, bail};

/// One selector: `name{label="value"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) series: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) is_pattern: bool,
}

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) selectors: Vec<Selector>,
    /// Labels of `by`, `without`, `on`, `ignoring`, `group_left`, `group_right`.
    pub(crate) grouped: Vec<String>,
}

/// Words before a list of labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that stand between expressions.
const OPERATORS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"];

/// Reads an expression. Grafana's variables may stand where a value or a duration does.
///
/// # Errors
/// If a bracket or string does not end.
pub(crate) fn named(expression: &str) -> anyhow::Result<Named> {
    let mut named = Named::default();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            word(rest, &mut named)?
        } else if first == '[' {
            let end = rest.find(']').with_context(|| format!("`[` does not end in {expression}"))?;
            &rest[end + 1..]
        } else if first == '"' {
            string(rest)?.1
        } else if first.is_ascii_digit() {
            rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.')
        } else {
            &rest[first.len_utf8()..]
        };
        rest = rest.trim_start();
    }
    Ok(named)
}

fn word<'a>(text: &'a str, named: &mut Named) -> anyhow::Result<&'a str> {
    let (word, rest) = split_word(text);
    let rest = rest.trim_start();
    if GROUPINGS.contains(&word) {
        let Some(list) = rest.strip_prefix('(') else { return Ok(rest) };
        let (labels, rest) = list.split_once(')').with_context(|| format!("the list of `{word}` does not end"))?;
        named.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
        return Ok(rest);
    }
    let is_call = rest.starts_with('(') || GROUPINGS.iter().any(|grouping| split_word(rest).0 == *grouping);
    let is_aggregation = is_call && !word.contains("muster_");
    if OPERATORS.contains(&word.to_lowercase().as_str()) || is_aggregation {
        return Ok(rest);
    }
    let (matchers, rest) = match rest.strip_prefix('{') {
        Some(list) => matchers(list)?,
        None => (Vec::new(), rest),
    };
    named.selectors.push(Selector { series: word.to_owned(), matchers });
    Ok(rest)
}

fn matchers(mut rest: &str) -> anyhow::Result<(Vec<Matcher>, &str)> {
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((matchers, rest));
        }
        let (label, after) = split_word(rest);
        if label.is_empty() {
            bail!("a label was expected at `{rest}`");
        }
        let after = after.trim_start();
        let value = after.trim_start_matches(['=', '!', '~']);
        let operator = &after[..after.len() - value.len()];
        let (value, after) = string(value.trim_start())?;
        let is_pattern = operator.ends_with('~');
        matchers.push(Matcher { label: label.to_owned(), value: value.to_owned(), is_pattern });
        rest = after;
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.split_at(end)
}

fn string(text: &str) -> anyhow::Result<(&str, &str)> {
    let inner = text.strip_prefix('"').with_context(|| format!("a string was expected at `{text}`"))?;
    inner.split_once('"').with_context(|| format!("a string does not end: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_groupings_are_found_and_functions_are_not() {
        let expression = r#"histogram_quantile(0.99, sum by (le, queue) (rate(muster_w_seconds_bucket{state!="x", ns=~"$ns"}[5m])))
            > 1e3 and on(queue) max(muster_g offset 5m) == bool 1"#;
        let named = named(expression).expect("an expression");
        let series: Vec<_> = named.selectors.iter().map(|selector| selector.series.as_str()).collect();
        assert_eq!(series, ["muster_w_seconds_bucket", "muster_g"]);
        assert_eq!(named.grouped, ["le", "queue", "queue"]);
        let [state, ns] = &named.selectors[0].matchers[..] else { panic!("two matchers") };
        assert_eq!((state.label.as_str(), state.value.as_str(), state.is_pattern), ("state", "x", false));
        assert_eq!((ns.label.as_str(), ns.value.as_str(), ns.is_pattern), ("ns", "$ns", true));
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for bad in ["rate(muster_x[5m)", "muster_x{a=\"b}", "sum by (a", "muster_x{=\"b\"}"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
