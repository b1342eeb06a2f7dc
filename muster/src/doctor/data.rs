//! The data folder: permissions, who uses it, disk space, keys, database.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::Finding;

/// Less free space than this is a warning, less than the second a failure.
const FREE_BYTES: (u64, u64) = (1 << 30, 100 << 20);
/// Key files of an installation.
const KEYS: [&str; 4] = ["service.key", "allocator.key", "metagame.key", "vault.key"];
/// A file this far in the future means that the clock went back.
const FUTURE: Duration = Duration::from_secs(60);

/// Everything about the folder. `holder` is the process that holds its lock.
pub(super) async fn examine(folder: &Path, holder: Option<u32>) -> Vec<Finding> {
    let Ok(metadata) = std::fs::metadata(folder) else {
        let found = format!("{} is not there", folder.display());
        return vec![Finding::warn("data folder", found, "`muster up` makes it; --data names another")];
    };
    let mut findings = vec![permissions(folder, &metadata), platform(holder), disk(folder)];
    findings.extend(KEYS.iter().filter_map(|name| key(&folder.join(name), name)));
    findings.extend(from_the_future(folder, SystemTime::now()));
    let database = folder.join("metagame.db");
    if database.is_file() {
        findings.push(match metagame::check_database(&database).await {
            Ok(()) => Finding::ok("database", format!("{} is sound", database.display())),
            Err(error) => Finding::fail("database", error.to_string(), "see the message; stop the platform first"),
        });
    }
    findings
}

fn permissions(folder: &Path, metadata: &std::fs::Metadata) -> Finding {
    let name = folder.display();
    if !metadata.is_dir() {
        return Finding::fail("data folder", format!("{name} is not a folder"), "choose another with --data");
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        let advice = format!("give the folder to this user: chown -R $(id -u) {name}");
        return Finding::fail("data folder", format!("{name} cannot be written: {error}"), advice);
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let found = format!("{name} can be written by others (mode {mode:03o})");
        return Finding::warn("data folder", found, format!("chmod go-w {name}"));
    }
    Finding::ok("data folder", format!("{name}, mode {mode:03o}"))
}

fn platform(holder: Option<u32>) -> Finding {
    let found = holder.map_or_else(|| "not running".to_owned(), |pid| format!("running as process {pid}"));
    Finding::ok("platform", found)
}

fn disk(folder: &Path) -> Finding {
    match rustix::fs::statvfs(folder) {
        Ok(stats) => space(stats.f_bavail.saturating_mul(stats.f_frsize)),
        Err(error) => Finding::warn("disk", format!("its space cannot be read: {error}"), "look with df"),
    }
}

fn space(free: u64) -> Finding {
    let found = format!("{} MiB free", free >> 20);
    let advice = "make room: results that cannot be written are not acknowledged";
    match free {
        free if free < FREE_BYTES.1 => Finding::fail("disk", found, advice),
        free if free < FREE_BYTES.0 => Finding::warn("disk", found, advice),
        _ => Finding::ok("disk", found),
    }
}

/// A key file, if it is there: a missing one is made at the next start.
fn key(path: &Path, name: &str) -> Option<Finding> {
    if !path.exists() {
        return None;
    }
    Some(match service::key::seed(path) {
        Ok(_) => Finding::ok(name, "for its owner alone"),
        Err(error) => Finding::fail(name, error.to_string(), "see the message"),
    })
}

/// A warning when a file of the installation was written later than now.
fn from_the_future(folder: &Path, now: SystemTime) -> Option<Finding> {
    let written = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.file_name()));
    let newest = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).filter_map(written).max()?;
    (newest.0 > now + FUTURE).then(|| {
        let found = format!("{} was written in the future: the clock went back", newest.1.display());
        Finding::fail("clock of the data", found, "set the clock (timedatectl set-ntp true): tokens live by it")
    })
}

/// The process that holds a file's lock; none where nobody does, or the system does not tell. The lock itself is not
/// touched, for a platform may be starting.
pub(super) fn lock_holder(path: &Path) -> Option<u32> {
    let inode = std::fs::metadata(path).ok()?.ino();
    holder_in(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Lines such as `1: FLOCK  ADVISORY  WRITE 3731 00:2b:1061 0 EOF`; those with an arrow wait for the lock.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().filter(|_| !line.contains("->")).collect();
        let at = words.iter().position(|word| *word == "FLOCK")?;
        let of: u64 = words.get(at + 4)?.rsplit(':').next()?.parse().ok()?;
        (of == inode).then(|| words.get(at + 3)?.parse().ok())?
    };
    locks.lines().find_map(holder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn the_holder_of_a_lock_is_found_without_touching_it() {
        let locks = "1: FLOCK  ADVISORY  WRITE 3731 00:2b:1061 0 EOF\n2: POSIX  ADVISORY  READ 9 00:2b:7 128 128\n";
        assert_eq!((holder_in(locks, 1061), holder_in(locks, 7), holder_in("", 1)), (Some(3731), None, None));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("platform.lock");
        let file = std::fs::File::create(&path).expect("create");
        assert_eq!(lock_holder(&path), None);
        file.try_lock().expect("nobody else holds it");
        assert_eq!(lock_holder(&path), Some(std::process::id()));
    }

    #[tokio::test]
    async fn an_open_key_and_a_damaged_database_are_failures() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("service.key"), "00".repeat(32)).expect("write");
        std::fs::set_permissions(folder.path().join("service.key"), std::fs::Permissions::from_mode(0o644))
            .expect("chmod");
        std::fs::write(folder.path().join("metagame.db"), "no database".repeat(500)).expect("write");
        let findings = examine(folder.path(), None).await;
        let failed: Vec<&str> =
            findings.iter().filter(|f| f.status == Status::Fail).map(|f| f.check.as_str()).collect();
        assert_eq!(failed, ["service.key", "database"], "{findings:?}");
    }

    #[test]
    fn a_full_disk_is_a_failure_and_files_from_the_future_show_a_clock_that_went_back() {
        assert_eq!(
            (space(1 << 20).status, space(500 << 20).status, space(5 << 30).status),
            (Status::Fail, Status::Warn, Status::Ok)
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("epoch"), "1").expect("write");
        assert_eq!(from_the_future(folder.path(), SystemTime::now()), None);
        assert!(from_the_future(folder.path(), SystemTime::now() - Duration::from_secs(3_600)).is_some());
    }
}
