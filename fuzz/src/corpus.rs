//! The committed corpus: `fuzz/corpus/<target>/*`, one case per file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::target::{ALL, Listed};

/// The folder of a target's corpus.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// A target's corpus, in the order of the files' names.
pub(crate) fn read(target: &Listed) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = folder(target.name);
    let listed = std::fs::read_dir(&folder);
    let listed =
        listed.with_context(|| format!("no corpus in {}: run `cargo run -p fuzz -- seed`", folder.display()))?;
    let mut paths = listed.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    if paths.is_empty() {
        bail!("the corpus in {} is empty: run `cargo run -p fuzz -- seed`", folder.display());
    }
    paths.iter().map(|path| std::fs::read(path).with_context(|| path.display().to_string())).collect()
}

/// Writes what the targets call real input. Files of other names, such as cases that once failed, stay.
pub(crate) fn write_all() -> anyhow::Result<()> {
    for target in &ALL {
        let folder = folder(target.name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let seeds = (target.seeds)();
        for (name, bytes) in &seeds {
            let path = folder.join(name);
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
        println!("{:10} {} entries", target.name, seeds.len());
    }
    Ok(())
}
