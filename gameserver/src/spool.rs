//! Signed results on disk: written before the first delivery, removed once metagame has them.
//!
//! One JSON file per match, `<match id>.json`, which appears whole or not at all and is on the disk before anything
//! else happens. What is still there when a game server starts is offered to metagame again, by whichever process
//! finds it: the same result twice is the same result. `muster metagame ingest` reads the same files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use protocol::certificate::SignedResult;
use protocol::id::MatchId;

/// Most files that are offered again at one start; the rest waits for the next.
pub const OFFERED_MAX: usize = 1_000;
/// Longest file that is read: a result in its JSON, escaped once more, and a certificate.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made or is not writable.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let probe = folder.join(format!(".probe-{}", hex::encode(service::random::bytes::<8>())));
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self { folder: folder.into() })
    }

    /// Puts a result on the disk, durably.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, id: MatchId, signed: &SignedResult) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{id}.{}", hex::encode(service::random::bytes::<8>())));
        let mut file = File::create_new(&temporary)?;
        file.write_all(&serde_json::to_vec(signed)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path(id))?;
        // The new name is durable only with its folder.
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets a result that metagame has.
    ///
    /// # Errors
    /// If the disk refuses. That it is gone already is fine.
    pub fn remove(&self, id: MatchId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a result aside that metagame refused for good, for people to look at.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn reject(&self, id: MatchId) -> io::Result<()> {
        match fs::rename(self.path(id), self.folder.join(format!("{id}.rejected"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Results that wait, oldest match first, at most [`OFFERED_MAX`]. A file that is no result is left and named in
    /// the log.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn waiting(&self) -> io::Result<Vec<(MatchId, SignedResult)>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|id| id.parse().ok());
            ids.extend::<Option<MatchId>>(id);
        }
        ids.sort_unstable();
        ids.truncate(OFFERED_MAX);
        let read = |id: MatchId| match self.read(id) {
            Ok(signed) => Some((id, signed)),
            Err(error) => {
                tracing::warn!(match_id = %id, %error, "cannot read a spooled result; leaving it");
                None
            }
        };
        Ok(ids.into_iter().filter_map(read).collect())
    }

    fn read(&self, id: MatchId) -> io::Result<SignedResult> {
        let path = self.path(id);
        if fs::metadata(&path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "the file is too long for a result"));
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    fn path(&self, id: MatchId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(result: &str) -> SignedResult {
        SignedResult { certificate: "c".into(), key: "k".into(), result: result.into(), signature: "s".into() }
    }

    #[test]
    fn results_survive_until_they_are_removed_or_put_aside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::open(&folder.path().join("spool")).expect("a spool");
        let ids = [1, 2, 3].map(|n| MatchId::from_time(n, [0; 10]));
        for id in ids {
            spool.write(id, &signed(&id.to_string())).expect("written");
        }
        spool.write(ids[0], &signed("again")).expect("a repetition replaces the file");
        fs::write(folder.path().join("spool/notes.txt"), "hello").expect("another file");
        fs::write(folder.path().join(format!("spool/{}.json", MatchId::from_time(9, [0; 10]))), "{").expect("bad");
        let reopened = Spool::open(&folder.path().join("spool")).expect("a spool");
        let waiting = reopened.waiting().expect("read");
        assert_eq!(waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
        assert_eq!(waiting[0].1, signed("again"));
        reopened.remove(ids[0]).expect("removed");
        reopened.remove(ids[0]).expect("removing twice is fine");
        reopened.reject(ids[1]).expect("put aside");
        assert_eq!(reopened.waiting().expect("read").len(), 1);
        assert!(folder.path().join(format!("spool/{}.rejected", ids[1])).exists());
    }
}
