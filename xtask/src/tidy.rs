//! House rules that no other tool knows: a header in every file, files that can be read in one sitting, unsafe code
//! only where it is accounted for, and no unfinished work.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Hard limit of a source file.
const LINES_MAX: usize = 600;

/// Marks of unfinished work, split so that this file does not find itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

/// One sentence for each fault in the Rust files below `root`.
pub(crate) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in rust_files(root)? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        faults.extend(file_faults(&text).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    Ok(faults)
}

fn file_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
    if !first.is_some_and(|line| line.starts_with("//!")) {
        faults.push("begins without a `//!` line that says what lives here".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("has {lines} lines, at most {LINES_MAX} are read in one sitting: split it by subject"));
    }
    for (number, line) in text.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| line.contains(*mark)) {
            faults.push(format!("line {}: {mark} marks unfinished work", number + 1));
        }
    }
    faults
}

/// Every `.rs` file of the workspace's crates, in order.
pub(crate) fn rust_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_too_long_or_unfinished_is_named() {
        assert_eq!(file_faults("//! What lives here.\nfn main() {}\n"), Vec::<String>::new());
        assert_eq!(file_faults("fn main() {}\n").len(), 1);
        assert_eq!(file_faults(&format!("//! x\n{}", "\n".repeat(LINES_MAX))).len(), 1);
        assert_eq!(file_faults(&format!("//! x\n// {} later\n", UNFINISHED[0])).len(), 1);
    }
}
