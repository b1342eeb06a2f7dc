//! Keys in files: made at first start, readable by their owner alone.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use protocol::jwt::SigningKey;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("there is no key file {path}: name the one that the installation's first program made")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the key file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the key file {path}: {error}; choose a folder that this user may write")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "the key file {path} is readable by others (mode {mode:03o}): run `chmod 600 {path}`, and replace the key if others may have seen it"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no key.
    #[error("the key file {path} does not hold 64 hex digits: restore it, or remove it to have a new key made")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The key in the file; where there is no file, a new key is made and written with mode 0600.
///
/// Two processes that start at once agree: the file appears whole or not at all, and the second reads the first's.
///
/// # Errors
/// [`KeyError`], which names the file and what to do.
pub fn load_or_create(path: &Path) -> Result<SigningKey, KeyError> {
    seed(path).map(|seed| SigningKey::from_seed(&seed))
}

/// The key in a file that another program has made: a key of its own would prove nothing to anybody.
///
/// # Errors
/// [`KeyError`], which names the file and what to do.
pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
    if !path.exists() {
        return Err(KeyError::Missing { path: path.into() });
    }
    load_or_create(path)
}

/// The 32 secret bytes in the file, made like [`load_or_create`]'s where there is no file.
///
/// # Errors
/// [`KeyError`], which names the file and what to do.
pub fn seed(path: &Path) -> Result<[u8; 32], KeyError> {
    if !path.exists() {
        create(path).map_err(|error| KeyError::Write { path: path.into(), error })?;
    }
    let read = |error| KeyError::Read { path: path.into(), error };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open { path: path.into(), mode });
    }
    parse(path)
}

/// The key in a file that Kubernetes has mounted from a Secret: its group is the pod's own, so that the group may read it.
///
/// # Errors
/// [`KeyError`], which names the file and what to do.
pub fn load_mounted(path: &Path) -> Result<SigningKey, KeyError> {
    seed_mounted(path).map(|seed| SigningKey::from_seed(&seed))
}

/// The 32 secret bytes in a file that Kubernetes has mounted from a Secret.
///
/// # Errors
/// [`KeyError`], which names the file and what to do.
pub fn seed_mounted(path: &Path) -> Result<[u8; 32], KeyError> {
    if !path.exists() {
        return Err(KeyError::Missing { path: path.into() });
    }
    let read = |error| KeyError::Read { path: path.into(), error };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(KeyError::Open { path: path.into(), mode });
    }
    parse(path)
}

fn parse(path: &Path) -> Result<[u8; 32], KeyError> {
    let read = |error| KeyError::Read { path: path.into(), error };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| KeyError::Malformed { path: path.into() })?;
    Ok(seed)
}

fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("new-{}", hex::encode(crate::random::bytes::<8>())));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{}", hex::encode(crate::random::bytes::<32>()))?;
    file.sync_all()?;
    // hard_link fails if the file exists by now: then the other process's key is the key.
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys/service.key");
        assert!(matches!(load(&path), Err(KeyError::Missing { .. })) && !path.exists(), "nothing is made");
        let first = load_or_create(&path).expect("a new key");
        assert_eq!(load_or_create(&path).expect("the same key").kid(), first.kid());
        assert_eq!(load(&path).expect("the same key").kid(), first.kid());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(load_or_create(&path), Err(KeyError::Open { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        std::fs::write(&path, "not a key").expect("write");
        assert!(matches!(load_or_create(&path), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn a_mounted_key_may_be_read_by_its_group_and_by_nobody_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("allocator.key");
        assert!(matches!(load_mounted(&path), Err(KeyError::Missing { .. })) && !path.exists(), "nothing is made");
        let made = load_or_create(&path).expect("a new key");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        mode(0o440);
        assert_eq!(load_mounted(&path).expect("the key").kid(), made.kid());
        for open in [0o444, 0o460, 0o442] {
            mode(open);
            assert!(matches!(load_mounted(&path), Err(KeyError::Open { .. })), "{open:o}");
        }
    }

    #[test]
    fn processes_that_start_together_agree_on_one_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("service.key");
        let kids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_create(&path).expect("a key").kid().to_owned())).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
    }
}
