//! Every metric that the programs have, read from the code that describes and records them.
//!
//! A name is a constant of the file that uses it; `describe_…!` gives kind and meaning, `counter!`, `gauge!` and
//! `histogram!` give the labels. Tests and macros of macros are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tidy::rust_files;

/// Crates that are tools or tests: what they count is no part of an installation.
const TOOLS: [&str; 5] = ["xtask", "testkit", "fuzz", "loadtest", "target"];

/// How a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    /// Has `_bucket`, `_sum`, `_count`.
    Histogram,
    /// Has quantiles, `_sum`, `_count`: a histogram whose name has no buckets (`service::admin` gives them to `…_seconds`).
    Summary,
}

impl Kind {
    /// The word of Prometheus' exposition format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }

    fn of(word: &str, name: &str) -> Option<Self> {
        match word {
            "counter" => Some(Self::Counter),
            "gauge" => Some(Self::Gauge),
            "histogram" if name.ends_with("_seconds") => Some(Self::Histogram),
            "histogram" => Some(Self::Summary),
            _ => None,
        }
    }
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: Kind,
    pub(crate) meaning: String,
    pub(crate) labels: BTreeSet<String>,
    /// The crate that has it.
    pub(crate) owner: String,
}

/// All metrics by name, and the words that may be values of labels.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Every string literal of the programs, and every word of their protocols.
    pub(crate) words: BTreeSet<String>,
    /// What contradicts itself: recorded but not described, described but never recorded, badly named.
    pub(crate) faults: Vec<String>,
}

/// What the files say, before it is put together.
#[derive(Debug, Default)]
struct Found {
    described: BTreeMap<String, (String, String, String)>,
    recorded: BTreeMap<String, (String, BTreeSet<String>)>,
    words: BTreeSet<String>,
}

impl Registry {
    /// The metrics of the workspace below `root`.
    ///
    /// # Errors
    /// If a file cannot be read, or is no Rust.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut found = Found::default();
        for path in rust_files(root)? {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let owner = relative.iter().next().map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
            let in_source = relative.iter().any(|part| part == "src");
            if !in_source || TOOLS.contains(&owner.as_str()) {
                continue;
            }
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.file(&owner, &text).with_context(|| format!("cannot parse {}", path.display()))?;
        }
        found.words.extend(proto_words(&root.join("protocol"))?);
        Ok(found.into_registry())
    }

    /// The metric that a series belongs to, and the labels that the series has.
    pub(crate) fn series(&self, name: &str) -> Option<(&Metric, BTreeSet<String>)> {
        let with = |metric: &Metric, extra: Option<&str>| {
            let mut labels = metric.labels.clone();
            labels.extend(extra.map(str::to_owned));
            labels
        };
        if let Some(metric) = self.metrics.get(name) {
            return match metric.kind {
                Kind::Counter | Kind::Gauge => Some((metric, with(metric, None))),
                Kind::Summary => Some((metric, with(metric, Some("quantile")))),
                Kind::Histogram => None,
            };
        }
        let base = |suffix: &str| name.strip_suffix(suffix).and_then(|base| self.metrics.get(base));
        if let Some(metric) = base("_bucket").filter(|metric| metric.kind == Kind::Histogram) {
            return Some((metric, with(metric, Some("le"))));
        }
        let metric = base("_sum").or_else(|| base("_count"))?;
        matches!(metric.kind, Kind::Histogram | Kind::Summary).then(|| (metric, with(metric, None)))
    }
}

impl Found {
    fn file(&mut self, owner: &str, text: &str) -> anyhow::Result<()> {
        let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut file = File { owner, names: BTreeMap::new(), found: self };
        file.constants(&tokens);
        file.walk(tokens);
        Ok(())
    }

    fn into_registry(self) -> Registry {
        let mut registry = Registry { words: self.words, ..Registry::default() };
        for (name, (owner, kind, meaning)) in self.described {
            let Some((recorded_as, labels)) = self.recorded.get(&name) else {
                registry.faults.push(format!("{name} is described in {owner} and never recorded"));
                continue;
            };
            if *recorded_as != kind {
                registry.faults.push(format!("{name} is described as {kind} and recorded as {recorded_as}"));
            }
            if (kind == "counter") != name.ends_with("_total") {
                registry.faults.push(format!("{name} is a {kind}: names of counters, and only those, end in _total"));
            }
            let Some(kind) = Kind::of(&kind, &name) else { continue };
            let metric = Metric { kind, meaning, labels: labels.clone(), owner };
            registry.metrics.insert(name, metric);
        }
        let unknown = self.recorded.keys().filter(|name| !registry.metrics.contains_key(*name));
        registry.faults.extend(unknown.map(|name| format!("{name} is recorded and not described")));
        registry
    }
}

/// One file that is being read.
struct File<'a> {
    owner: &'a str,
    names: BTreeMap<String, String>,
    found: &'a mut Found,
}

impl File<'_> {
    /// `const NAME: &str = "…"`.
    fn constants(&mut self, tokens: &TokenStream) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            if let TokenTree::Group(group) = token {
                self.constants(&group.stream());
            }
            let (true, Some(TokenTree::Ident(name))) = (is_word(token, "const"), tokens.get(at + 1)) else { continue };
            let value = tokens[at..].iter().take(8).take_while(|token| !is_mark(token, ';')).find_map(text_of);
            if let Some(value) = value {
                self.names.insert(name.to_string(), value);
            }
        }
    }

    fn walk(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut word = String::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '!' && !word.is_empty() => {
                    if let Some(TokenTree::Group(group)) = tokens.peek() {
                        self.call(&word, &group.stream());
                    }
                    continue;
                }
                TokenTree::Group(group) if is_for_tests(&group) => skip_item(&mut tokens),
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Literal(_) => self.found.words.extend(text_of(&token)),
                TokenTree::Ident(ident) => {
                    word = ident.to_string();
                    continue;
                }
                TokenTree::Punct(_) => {}
            }
            word.clear();
        }
    }

    /// A macro's call: `describe_counter!(NAME, …, "meaning")` or `counter!(NAME, "label" => …)`.
    fn call(&mut self, name: &str, arguments: &TokenStream) {
        let (described, kind) = match name.strip_prefix("describe_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        if !["counter", "gauge", "histogram"].contains(&kind) {
            return;
        }
        let parts = split_at_commas(arguments);
        let Some(metric) = parts.first().and_then(|part| self.name_of(part)) else { return };
        if described {
            let meaning = parts.last().and_then(|part| part.iter().find_map(text_of)).unwrap_or_default();
            self.found.described.insert(metric, (self.owner.to_owned(), kind.to_owned(), meaning));
            return;
        }
        let recorded = self.found.recorded.entry(metric).or_insert_with(|| (kind.to_owned(), BTreeSet::new()));
        for part in &parts[1..] {
            if part.get(1).is_some_and(|token| is_mark(token, '=')) {
                recorded.1.extend(part.first().and_then(text_of));
            }
        }
    }

    fn name_of(&self, part: &[TokenTree]) -> Option<String> {
        let token = part.last()?;
        let name = text_of(token).or_else(|| self.names.get(&token.to_string()).cloned())?;
        name.starts_with("muster_").then_some(name)
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_for_tests(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Leaves out the item behind `#[cfg(test)]`.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        let is_body = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if is_body || is_mark(&token, ';') {
            return;
        }
    }
}

/// The text of a string literal.
fn text_of(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\""))
}

fn split_at_commas(tokens: &TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in tokens.clone() {
        if is_mark(&token, ',') {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Names of enumerators are label values too (`as_str_name`).
fn proto_words(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                let text = std::fs::read_to_string(&path)?;
                let split = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                words.extend(split.filter(|word| !word.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(text: &str) -> Registry {
        let mut found = Found::default();
        found.file("allocator", text).expect("Rust");
        found.into_registry()
    }

    #[test]
    fn kind_meaning_and_labels_are_read_from_the_code() {
        let registry = registry(
            r#"
            const TOOK: &str = "muster_x_seconds";
            const DONE: &str = "muster_x_done_total";
            fn describe() {
                describe_histogram!(TOOK, Unit::Seconds, "How \"long\"");
                metrics::describe_counter!(DONE, "What, was done");
            }
            fn record(kind: &str) {
                histogram!(TOOK).record(1.0);
                metrics::counter!(DONE, "kind" => kind, "how" => format!("{:?}", 1)).increment(1);
            }
            #[cfg(test)]
            mod tests { fn f() { counter!("muster_test_total").increment(1); } }
            "#,
        );
        assert_eq!(registry.faults, Vec::<String>::new());
        let took = &registry.metrics["muster_x_seconds"];
        assert_eq!((took.kind, took.meaning.as_str()), (Kind::Histogram, "How \"long\""));
        let done = &registry.metrics["muster_x_done_total"];
        assert_eq!(done.labels, ["how".to_owned(), "kind".to_owned()].into());
        assert!(registry.series("muster_x_seconds").is_none(), "a histogram has no series of its own name");
        assert!(registry.series("muster_x_seconds_bucket").is_some_and(|(_, labels)| labels.contains("le")));
        assert!(registry.series("muster_x_done_count").is_none());
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let faults = registry(
            r#"
            fn f() {
                describe_counter!("muster_a_total", "Described alone");
                gauge!("muster_b").set(1.0);
                describe_gauge!("muster_c_total", "A gauge");
                gauge!("muster_c_total").set(1.0);
            }
            "#,
        )
        .faults;
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
