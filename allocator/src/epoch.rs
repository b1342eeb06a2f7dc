//! The leader's epoch on one machine: a counter in a file, one more at every start.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Why no epoch could be taken.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The file holds something else than a number.
    #[error("{} does not hold an epoch: restore it, or remove it once no game server is running", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {step} the epoch file {}: {error}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
}

/// Takes the next epoch: the number in the file plus one, written back before it is returned. A crash at any moment
/// leaves the old number or the new one. The first epoch is 1.
///
/// # Errors
/// [`EpochError`] names the file and the step. A corrupt file is never overwritten: servers refuse an epoch that
/// went back.
pub fn advance(path: &Path) -> Result<u64, EpochError> {
    let fault = |step| move |error| EpochError::Io { step, path: path.to_owned(), error };
    let last = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| EpochError::Corrupt { path: path.to_owned() })?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(EpochError::Corrupt { path: path.to_owned() });
        }
        Err(error) => return Err(fault("read")(error)),
    };
    let epoch = last.checked_add(1).ok_or_else(|| EpochError::Corrupt { path: path.to_owned() })?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(fault("make the folder of"))?;
    // Write beside, sync, rename, sync the folder: the name always points at a whole number.
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(fault("create"))?;
    writeln!(file, "{epoch}").map_err(fault("write"))?;
    file.sync_all().map_err(fault("write"))?;
    fs::rename(&beside, path).map_err(fault("replace"))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault("sync"))?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_gets_a_higher_epoch() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state").join("epoch");
        assert_eq!(advance(&path).expect("first"), 1);
        assert_eq!(advance(&path).expect("second"), 2);
        // A crash between write and rename leaves the file beside it, which counts for nothing.
        fs::write(path.with_extension("new"), "9").expect("write");
        assert_eq!(advance(&path).expect("third"), 3);
    }

    #[test]
    fn a_corrupt_file_is_named_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("epoch");
        for bytes in [&b"seven"[..], b"", b"-1", b"\xff\xfe", b"18446744073709551615"] {
            fs::write(&path, bytes).expect("write");
            let error = advance(&path).expect_err("corrupt");
            assert!(matches!(error, EpochError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("epoch"), "{error}");
            assert_eq!(fs::read(&path).expect("read"), bytes);
        }
    }
}
