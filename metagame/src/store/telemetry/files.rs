//! Days as files: `metagame.telemetry/2026-11-22.db`.

use std::path::{Path, PathBuf};

use super::log::{TelemetryRow, day_name};
use crate::args;
use crate::core::telemetry::day;
use crate::db::{SideFile, StoreError};

/// The table of `migrations/0066_telemetry.sql`.
const SCHEMA: &str = "\
    CREATE TABLE IF NOT EXISTS telemetry (
        day INTEGER NOT NULL, event_id BLOB NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        received_at_ms INTEGER NOT NULL, pseudonym BLOB NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL,
        sealed BLOB NOT NULL, PRIMARY KEY (pseudonym, event_id, day)
    ) STRICT";
const KEEP: &str = "\
    INSERT INTO telemetry (day, event_id, name, version, at_ms, received_at_ms, pseudonym, source, body, sealed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
const PAGE: &str = "\
    SELECT day, event_id, name, version, at_ms, received_at_ms, pseudonym, source, body, sealed FROM telemetry
    WHERE pseudonym = $1 AND (day, event_id) > ($2, $3) ORDER BY day, event_id LIMIT $4";

/// A day's file, open for writing.
#[derive(Debug)]
pub(super) struct DayFile {
    pub(super) day: u64,
    file: SideFile,
}

impl DayFile {
    pub(super) async fn open(folder: &Path, day: u64) -> Result<Self, StoreError> {
        let fault = |error: std::io::Error| StoreError::Failed(format!("cannot make {}: {error}", folder.display()));
        tokio::fs::create_dir_all(folder).await.map_err(fault)?;
        Ok(Self { day, file: SideFile::open(&path(folder, day), SCHEMA).await? })
    }

    pub(super) async fn keep(&mut self, rows: &[TelemetryRow]) -> Result<(), StoreError> {
        let args = |row: &TelemetryRow| {
            let TelemetryRow { day, event_id, name, version, at_ms, received_at_ms, pseudonym, source, body, sealed } =
                row;
            args![*day, *event_id, name, *version, *at_ms, *received_at_ms, pseudonym, source, body, sealed]
        };
        self.file.write(KEEP, rows.iter().map(args).collect()).await
    }

    pub(super) async fn close(self) {
        self.file.close().await;
    }
}

fn path(folder: &Path, day: u64) -> PathBuf {
    folder.join(format!("{}.db", day_name(day, "-")))
}

/// The days that there are, in order; none where there is no folder yet.
async fn days(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let fault = |error: std::io::Error| StoreError::Failed(format!("cannot read {}: {error}", folder.display()));
    let mut entries = match tokio::fs::read_dir(folder).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fault)?,
    };
    let mut days = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(fault)? {
        let name = entry.file_name();
        days.extend(name.to_str().and_then(|name| name.strip_suffix(".db")).and_then(day::read));
    }
    days.sort_unstable();
    Ok(days)
}

pub(super) async fn page(
    folder: &Path,
    pseudonym: [u8; 16],
    after: (u64, [u8; 16]),
    limit: u32,
) -> Result<Vec<TelemetryRow>, StoreError> {
    for day in days(folder).await?.into_iter().filter(|day| *day >= after.0) {
        let mut file = SideFile::open_to_read(&path(folder, day)).await?;
        let rows: Vec<TelemetryRow> = file.all(PAGE, args![pseudonym, after.0, after.1, limit]).await?;
        file.close().await;
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

pub(super) async fn drop_before(folder: &Path, oldest: u64) -> Result<usize, StoreError> {
    let over: Vec<u64> = days(folder).await?.into_iter().filter(|day| *day < oldest).collect();
    for day in &over {
        for file in files_of(folder, *day) {
            match tokio::fs::remove_file(&file).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::Failed(format!("cannot remove {}: {error}", file.display())));
                }
                _ => {}
            }
        }
    }
    Ok(over.len())
}

pub(super) async fn bytes_of(folder: &Path, day: u64) -> u64 {
    let mut bytes = 0;
    for file in files_of(folder, day) {
        bytes += tokio::fs::metadata(&file).await.map_or(0, |meta| meta.len());
    }
    bytes
}

/// The file that names the day comes last: what is left of a removal that was cut off is found again.
fn files_of(folder: &Path, day: u64) -> [PathBuf; 3] {
    let path = path(folder, day);
    ["-wal", "-shm", ""].map(|end| PathBuf::from(format!("{}{end}", path.display())))
}
