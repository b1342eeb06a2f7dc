//! What is written from something else: the chart's copies of the CRDs and of the alert rules (a chart holds all its
//! files), and the table of values in its README.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;

use super::chart::Chart;
use super::values;

/// Folders of the repository, and where the chart has its copy.
const COPIES: [(&str, &str); 2] = [("crds/yaml", "files/crds"), ("deploy/alerts", "files/alerts")];
/// Around the table in the README.
const TABLE: [&str; 2] = ["<!-- values: written by `UPDATE_GOLDEN=1 cargo xtask helm` -->\n", "<!-- end of values -->"];

/// One sentence for each file that is not what it is derived from.
pub(super) fn faults(chart: &Chart) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (original, copy) in COPIES {
        faults.extend(folder(&chart.root.join(original), &chart.folder().join(copy))?);
    }
    faults.extend(readme(chart)?);
    Ok(faults)
}

fn folder(original: &Path, copy: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let wanted = manifests(original)?;
    for name in &wanted {
        let text = std::fs::read_to_string(original.join(name))?;
        std::fs::create_dir_all(copy)?;
        faults.extend(compare(&copy.join(name), &text)?);
    }
    for name in manifests(copy)?.difference(&wanted) {
        let path = copy.join(name);
        if updates() {
            std::fs::remove_file(&path)?;
        } else {
            faults.push(format!("{}: its original is gone; {UPDATE}", path.display()));
        }
    }
    Ok(faults)
}

/// Names of a folder's manifests; none where there is no folder.
fn manifests(folder: &Path) -> anyhow::Result<BTreeSet<OsString>> {
    if !folder.is_dir() {
        return Ok(BTreeSet::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let names: Result<Vec<OsString>, _> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    Ok(names?.into_iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml")).collect())
}

fn readme(chart: &Chart) -> anyhow::Result<Vec<String>> {
    let settings = std::fs::read_to_string(chart.folder().join("values.yaml")).context("values.yaml")?;
    let settings = match values::read(&settings) {
        Ok(settings) => settings,
        Err(faults) => return Ok(faults),
    };
    let path = chart.folder().join("README.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let [begin, end] = TABLE;
    let (before, rest) = text.split_once(begin).context("README.md has no place for the table of values")?;
    let (_, after) = rest.split_once(end).context("README.md does not say where the table of values ends")?;
    Ok(compare(&path, &format!("{before}{begin}{}{end}{after}", values::table(&settings)))?.into_iter().collect())
}

const UPDATE: &str = "`UPDATE_GOLDEN=1 cargo xtask helm` writes it";

fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares a file with what it should be, or writes it.
pub(super) fn compare(path: &Path, wanted: &str) -> anyhow::Result<Option<String>> {
    let stands = std::fs::read_to_string(path).unwrap_or_default();
    if stands == wanted {
        return Ok(None);
    }
    if updates() {
        std::fs::write(path, wanted).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(None);
    }
    let differs = stands.lines().zip(wanted.lines()).position(|(stands, wanted)| stands != wanted);
    let line = differs.unwrap_or_else(|| stands.lines().count().min(wanted.lines().count()));
    Ok(Some(format!("{}:{}: is not what it is derived from; {UPDATE}", path.display(), line + 1)))
}
