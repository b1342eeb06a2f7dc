//! Files with cases that failed: `"MUSTERFUZZ1\n" · target "\n" ·` then each case as length `u32` and bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

const MAGIC: &[u8] = b"MUSTERFUZZ1\n";

/// Where `run` writes what failed.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz-failures")
}

/// Writes the cases of one world and returns the file.
pub(crate) fn write(folder: &Path, target: &str, seed: u64, case: u64, cases: &[Vec<u8>]) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(format!("{target}-{seed}-{case}"));
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(target.as_bytes());
    out.push(b'\n');
    for case in cases {
        out.extend_from_slice(&(case.len() as u32).to_le_bytes());
        out.extend_from_slice(case);
    }
    std::fs::write(&path, out).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// The target and the cases of a file: one that [`write()`] wrote, or an entry of a corpus, whose folder names the target.
pub(crate) fn read(path: &Path) -> anyhow::Result<(String, Vec<Vec<u8>>)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let folder = path.parent().and_then(Path::file_name).context("the file lies in no folder of the corpus")?;
        return Ok((folder.to_string_lossy().into_owned(), vec![bytes]));
    };
    let end = rest.iter().position(|byte| *byte == b'\n').context("the file names no target")?;
    let (target, mut rest) = (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end + 1..]);
    let mut cases = Vec::new();
    while !rest.is_empty() {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { bail!("{} is cut off", path.display()) };
        let split = after.split_at_checked(u32::from_le_bytes(*length) as usize);
        let (case, after) = split.with_context(|| format!("{} is cut off", path.display()))?;
        cases.push(case.to_vec());
        rest = after;
    }
    Ok((target, cases))
}
