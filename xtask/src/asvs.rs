//! The list of OWASP ASVS in the book: nothing is left out, and every test and page that it names is there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

const PAGE: &str = "docs/book/src/metagame/asvs.md";

/// Requirements of levels 1 and 2 of version 5.0.0: each section, and how many there are. They are numbered from 1; those of level 3
/// come after them.
#[rustfmt::skip]
const SECTIONS: [(&str, u8); 75] = [
    ("1.1", 2), ("1.2", 9), ("1.3", 11), ("1.4", 3), ("1.5", 2), ("2.1", 3), ("2.2", 3), ("2.3", 4), ("2.4", 1),
    ("3.2", 2), ("3.3", 4), ("3.4", 6), ("3.5", 5), ("3.7", 2), ("4.1", 3), ("4.2", 1), ("4.3", 2), ("4.4", 4),
    ("5.1", 1), ("5.2", 3), ("5.3", 2), ("5.4", 3), ("6.1", 3), ("6.2", 12), ("6.3", 4), ("6.4", 4), ("6.5", 5),
    ("6.6", 3), ("6.8", 4), ("7.1", 3), ("7.2", 4), ("7.3", 2), ("7.4", 5), ("7.5", 2), ("7.6", 2), ("8.1", 2),
    ("8.2", 3), ("8.3", 1), ("8.4", 1), ("9.1", 3), ("9.2", 4), ("10.1", 2), ("10.2", 2), ("10.3", 4), ("10.4", 11),
    ("10.5", 5), ("10.6", 2), ("10.7", 3), ("11.1", 2), ("11.2", 3), ("11.3", 3), ("11.4", 4), ("11.5", 1),
    ("11.6", 1), ("12.1", 3), ("12.2", 2), ("12.3", 4), ("13.1", 1), ("13.2", 5), ("13.3", 2), ("13.4", 5),
    ("14.1", 2), ("14.2", 4), ("14.3", 3), ("15.1", 3), ("15.2", 3), ("15.3", 7), ("16.1", 1), ("16.2", 5),
    ("16.3", 4), ("16.4", 3), ("16.5", 3), ("17.1", 1), ("17.2", 4), ("17.3", 2),
];

/// How a requirement is answered where no test or page is named.
const WORDS: [&str; 3] = ["not applicable: ", "not met: ", "by construction: "];

/// One sentence for each thing that is wrong with the page.
///
/// # Errors
/// If the page cannot be read.
pub(crate) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let page = root.join(PAGE);
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let mut faults = left_out(&text);
    for (requirement, shown) in rows(&text) {
        for fault in row_faults(root, page.parent().unwrap_or(root), shown) {
            faults.push(format!("{PAGE}: {requirement}: {fault}"));
        }
    }
    Ok(faults)
}

/// First and last cell of each row that begins with a requirement.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim().strip_prefix("| v5.0.0-")?.strip_suffix('|')?.split(" | ").collect();
        Some((*cells.first()?, cells.last()?.trim()))
    })
}

fn left_out(text: &str) -> Vec<String> {
    let numbers = |(section, count): &(&'static str, u8)| {
        let section = *section;
        (1..=*count).map(move |number| format!("{section}.{number}"))
    };
    let wanted: BTreeSet<String> = SECTIONS.iter().flat_map(numbers).collect();
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (requirements, _) in rows(text) {
        for requirement in requirements.split(", ").map(|one| one.trim_start_matches("v5.0.0-")) {
            if !wanted.contains(requirement) {
                faults.push(format!("{PAGE}: {requirement} is no requirement of level 1 or 2"));
            }
            if !seen.insert(requirement.to_owned()) {
                faults.push(format!("{PAGE}: {requirement} is there twice"));
            }
        }
    }
    faults.extend(wanted.difference(&seen).map(|requirement| format!("{PAGE}: {requirement} is left out")));
    faults
}

fn row_faults(root: &Path, folder: &Path, shown: &str) -> Vec<String> {
    let tests: Vec<(&str, &str)> = shown.split('`').filter_map(|code| code.split_once(".rs::")).collect();
    let links: Vec<&str> = shown.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let is_answered = !tests.is_empty() || !links.is_empty() || WORDS.iter().any(|word| shown.starts_with(word));
    let mut faults = Vec::new();
    if !is_answered {
        faults.push(format!("name a test or a page, or begin with one of {WORDS:?}"));
    }
    for (file, test) in tests {
        let source = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        if !is_test(&source, test) {
            faults.push(format!("there is no test {test} in {file}.rs"));
        }
    }
    for link in links.into_iter().filter(|link| !link.starts_with("https://")) {
        if !folder.join(link).is_file() {
            faults.push(format!("there is no page {link}"));
        }
    }
    faults
}

/// Whether the source has a test of this name, one that is run.
fn is_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let line = source[..at].rfind('\n').unwrap_or(0);
    let mut attributes = source[..line].lines().rev().take_while(|line| line.trim_start().starts_with("#[")).peekable();
    attributes.peek().is_some() && attributes.all(|line| !line.contains("#[ignore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_answered_by_what_is_there() {
        assert_eq!(faults(&crate::command::root()).expect("a readable page"), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let root = crate::command::root();
        let folder = root.join("docs/book/src/metagame");
        let wrong = [
            "",
            "it is fine",
            "`xtask/src/asvs.rs::nobody_wrote_this`",
            "[a page](nowhere.md)",
            "`xtask/src/asvs.rs::rows`",
        ];
        for shown in wrong {
            assert_eq!(row_faults(&root, &folder, shown).len(), 1, "{shown}");
        }
        for shown in
            ["not met: it is missing", "`xtask/src/asvs.rs::what_is_not_there_is_named`", "[a page](identity.md)"]
        {
            assert_eq!(row_faults(&root, &folder, shown), Vec::<String>::new(), "{shown}");
        }
        assert!(!is_test("#[test]\n#[ignore = \"slow\"]\nfn a() {}", "a"), "a test that is not run shows nothing");
        assert_eq!(left_out("| v5.0.0-1.1.1, v5.0.0-1.1.3 | a | b |\n| v5.0.0-1.1.1 | a | b |").len(), 2 + 252);
    }
}
