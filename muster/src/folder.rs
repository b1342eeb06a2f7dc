//! A temporary folder of a command's own.

use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// A temporary folder that is removed when the command ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty one, named after the command and this process.
    pub(crate) fn new(command: &str) -> Result<Self, Failure> {
        let name = format!("muster-{command}-{}-{:08x}", std::process::id(), service::random::u64() as u32);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| {
            Failure::setup(format!("cannot make the folder {}: {error}", path.display()))
                .help("name a folder that this user may write in the environment variable TMPDIR")
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a temporary folder could not be removed");
        }
    }
}
