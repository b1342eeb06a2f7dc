//! The file in which a game keeps what it can come back with, in case it is killed.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use client::Resumption;

/// One file, which goes when it is dropped.
#[derive(Debug)]
pub struct ResumeFile(PathBuf);

impl ResumeFile {
    /// A file of its own in the system's temporary folder. It is written with the first [`write`](Self::write).
    pub fn new() -> Self {
        let name = format!("muster-bot-{:032x}.resume", u128::from_le_bytes(service::random::bytes()));
        Self(std::env::temp_dir().join(name))
    }

    /// Writes it anew, readable by its owner alone: whoever has it has the seat.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, resumption: &Resumption) -> io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&self.0)?.write_all(&resumption.to_bytes())
    }

    /// What it holds; none if nothing good was written.
    pub fn read(&self) -> Option<Resumption> {
        Resumption::from_bytes(&std::fs::read(&self.0).ok()?).ok()
    }
}

impl Default for ResumeFile {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ResumeFile {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}
