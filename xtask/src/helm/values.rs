//! values.yaml as a table: each setting, its default, and the comment above it.
//!
//! Reads the YAML that values.yaml is written in, which is plain: maps by indentation, one value a line, lists of texts.

use std::fmt::Write as _;

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    path: String,
    default: String,
    description: String,
}

/// The settings of a values.yaml, or a sentence for each that says nothing of itself.
pub(super) fn read(text: &str) -> Result<Vec<Setting>, Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut settings, mut faults) = (Vec::<Setting>::new(), Vec::new());
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut comment = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() {
            comment.clear();
            continue;
        }
        if let Some(text) = trimmed.strip_prefix("# ") {
            comment.push(text);
            continue;
        }
        if let Some(item) = trimmed.strip_prefix("- ") {
            if let Some(list) = settings.last_mut() {
                list.default = format!("[{item}]");
            }
            continue;
        }
        let Some((key, value)) = trimmed.split_once(':') else {
            faults.push(format!("values.yaml:{}: no setting", number + 1));
            continue;
        };
        parents.retain(|(outer, _)| *outer < indent);
        let description = std::mem::take(&mut comment).join(" ");
        parents.push((indent, key));
        let next = lines.get(number + 1).map_or("", |line| line);
        let is_map = value.trim().is_empty() && !next.trim_start().starts_with("- ");
        // `requests` and `limits` are parts of one setting.
        if is_map && key != "resources" || matches!(key, "requests" | "limits") {
            continue;
        }
        let path: Vec<&str> = parents.iter().map(|(_, key)| *key).collect();
        let path = path.join(".");
        let description = described(&settings, &path, description);
        if description.is_empty() {
            faults.push(format!("values.yaml:{}: {path} has no comment that says what it is", number + 1));
        }
        let default = if is_map { "see values.yaml".into() } else { value.trim().to_owned() };
        settings.push(Setting { path, default, description });
    }
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// What a setting's comment says, or the part's before it that has one of the same name.
fn described(settings: &[Setting], path: &str, own: String) -> String {
    let of = |path: &str| path.split_once('.').map(|(_, rest)| rest.to_owned());
    let earlier = settings.iter().find(|setting| of(&setting.path).is_some_and(|name| Some(name) == of(path)));
    match earlier {
        Some(earlier) if own.is_empty() => format!("As `{}`.", earlier.path),
        _ => own,
    }
}

/// As Markdown.
pub(super) fn table(settings: &[Setting]) -> String {
    let mut table = "| value | default | what it is |\n|---|---|---|\n".to_owned();
    for Setting { path, default, description } in settings {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        writeln!(table, "| `{path}` | {default} | {} |", description.replace('|', "\\|")).expect("a String takes all");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# A comment of the file.

image:
  # Where it is.
  repository: localhost/muster
# Where games run.
# More of it.
games:
  - default
operator:
  # One leads.
  replicas: 1
allocator:
  replicas: 2
";

    #[test]
    fn a_setting_has_its_path_its_default_and_the_comment_above_it() {
        let settings = read(TEXT).expect("every setting is described");
        let rows: Vec<(&str, &str, &str)> =
            settings.iter().map(|s| (s.path.as_str(), s.default.as_str(), s.description.as_str())).collect();
        assert_eq!(
            rows,
            [
                ("image.repository", "localhost/muster", "Where it is."),
                ("games", "[default]", "Where games run. More of it."),
                ("operator.replicas", "1", "One leads."),
                ("allocator.replicas", "2", "As `operator.replicas`."),
            ]
        );
        assert!(table(&settings).contains("| `games` | `[default]` | Where games run. More of it. |"));
    }

    #[test]
    fn a_setting_that_says_nothing_of_itself_is_named() {
        let faults = read("image:\n  tag: x\n").expect_err("no comment");
        assert_eq!(faults, ["values.yaml:2: image.tag has no comment that says what it is"]);
    }
}
