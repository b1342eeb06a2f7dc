//! The game servers that there are, in a file kept by whoever starts them, for an allocator in a process of its own: one
//! name per line.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::exit::Failure;

/// How often the file is looked at. It says which servers are dead, and their players wait for that.
const LOOK: Duration = Duration::from_millis(50);

/// The file, as the allocator reads it.
pub(crate) struct ServersFile {
    path: PathBuf,
    names: watch::Sender<BTreeSet<String>>,
}

impl ServersFile {
    /// Reads it for the first time; from then on it has to be complete.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let names = read(path).map_err(|error| {
            Failure::setup(format!("cannot read the list of game servers {}: {error}", path.display())).help(
                "whoever starts game servers writes it, one name per line; an empty file says that there are none",
            )
        })?;
        Ok(Self { path: path.to_owned(), names: watch::Sender::new(names) })
    }

    /// The names, now and at each change.
    pub(crate) fn names(&self) -> watch::Receiver<BTreeSet<String>> {
        self.names.subscribe()
    }

    /// Tells the allocator of every change, for ever.
    pub(crate) async fn follow(self, allocator: allocator::Handle) {
        let mut known = self.names.borrow().clone();
        let mut is_readable = true;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = match read(&self.path) {
                Ok(now) => now,
                Err(error) => {
                    if std::mem::take(&mut is_readable) {
                        tracing::error!(file = %self.path.display(), %error, "nobody says which game servers are gone");
                    }
                    continue;
                }
            };
            is_readable = true;
            if now == known {
                continue;
            }
            self.names.send_replace(now.clone());
            for name in known.difference(&now) {
                allocator.server_gone(name).await;
            }
            known = now;
        }
    }
}

/// Replaces the file: whoever reads it sees the old names or the new ones.
pub(crate) fn write(path: &Path, names: &BTreeSet<String>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(&beside, lines)?;
    std::fs::rename(&beside, path)
}

fn read(path: &Path) -> io::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_missing_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("servers");
        let fault = ServersFile::open(&path).err().expect("there is none");
        assert!(fault.message().contains("servers"), "{}", fault.message());
        for names in [BTreeSet::new(), BTreeSet::from(["arena-a".to_owned(), "arena-b".to_owned()])] {
            write(&path, &names).expect("written");
            assert_eq!(*ServersFile::open(&path).expect("there").names().borrow(), names);
        }
    }
}
